package batchrun

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"gemini-client/events"
)

// OpenAI's batch lines, in and out: https://platform.openai.com/docs/guides/batch and
// https://platform.openai.com/docs/api-reference/batch/request-input

// chatURL is the one endpoint whose requests are answered.
const chatURL = "/v1/chat/completions"

// isOpenAI reports whether a line is one of OpenAI's.
func isOpenAI(data []byte) bool {
	var keys struct {
		CustomID json.RawMessage `json:"custom_id"`
		Body     json.RawMessage `json:"body"`
	}
	return json.Unmarshal(data, &keys) == nil && (keys.CustomID != nil || keys.Body != nil)
}

// chat is what a chat request says in words that a request event has of its own.
type chat struct {
	Model               string          `json:"model"`
	Messages            json.RawMessage `json:"messages"`
	Temperature         *float64        `json:"temperature"`
	TopP                *float64        `json:"top_p"`
	TopK                *int            `json:"top_k"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	Stop                json.RawMessage `json:"stop"`
}

// ownWords are chat's, and those that a batch has no use for; all else is passed on.
func ownWords() []string {
	return []string{"model", "messages", "temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "stop", "stream", "stream_options", "n", "usage"}
}

// fromOpenAI reads a line of a batch.
func fromOpenAI(data []byte) (customID string, r events.Request, err error) {
	var l struct {
		CustomID string          `json:"custom_id"`
		Method   string          `json:"method"`
		URL      string          `json:"url"`
		Body     json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal(data, &l); err != nil {
		return l.CustomID, r, fmt.Errorf("it is no batch line: %w", err)
	}
	if l.URL != "" && l.URL != chatURL {
		return l.CustomID, r, fmt.Errorf("url is %q: only %s is answered", l.URL, chatURL)
	}
	r, err = fromChat(l.Body)
	return l.CustomID, r, err
}

// fromChat makes a request event of a chat request.
func fromChat(body json.RawMessage) (r events.Request, err error) {
	var c chat
	var all map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(body, &c), json.Unmarshal(body, &all)); err != nil {
		return r, fmt.Errorf("body is no chat request: %w", err)
	}
	r = events.Request{Model: c.Model, Messages: c.Messages, Parameters: events.DefaultParameters()}
	set(&r.Parameters.Temperature, c.Temperature)
	set(&r.Parameters.TopP, c.TopP)
	set(&r.Parameters.TopK, c.TopK)
	set(&r.Parameters.MaxOutputTokens, c.MaxTokens)
	set(&r.Parameters.MaxOutputTokens, c.MaxCompletionTokens)
	if r.Parameters.StopSequences, err = stops(c.Stop); err != nil {
		return r, err
	}
	for name, value := range all {
		if !slices.Contains(ownWords(), name) {
			if r.OpenRouter == nil {
				r.OpenRouter = map[string]json.RawMessage{}
			}
			r.OpenRouter[name] = value
		}
	}
	return r, nil
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// stops reads one text or a list of them.
func stops(raw json.RawMessage) (all []string, err error) {
	if raw == nil || string(raw) == "null" || json.Unmarshal(raw, &all) == nil {
		return all, nil
	}
	var one string
	if err := json.Unmarshal(raw, &one); err != nil {
		return nil, errors.New("stop is neither a text nor a list of texts")
	}
	return []string{one}, nil
}

// batchID begins the ids of OpenAI's output lines; the request id follows.
const batchID = "batch_req_"

// toOpenAI is the output line of a result.
func toOpenAI(customID string, r events.Result) ([]byte, error) {
	type body map[string]any
	out := body{"id": batchID + r.RequestID, "custom_id": customID, "response": nil, "error": nil}
	if r.Status != events.StatusSuccess {
		out["error"] = body{"code": r.ErrorCode, "message": r.Error}
		return json.Marshal(out)
	}
	message := body{"role": "assistant", "content": r.Content}
	if r.ToolCalls != nil {
		message["tool_calls"] = r.ToolCalls
	}
	answer := body{
		"id": r.GenerationID, "object": "chat.completion", "created": r.Timestamp.Unix(), "model": r.ModelUsed,
		"choices": []body{{"index": 0, "message": message, "finish_reason": r.FinishReason}},
	}
	if r.Usage != nil {
		answer["usage"] = body{"prompt_tokens": r.Usage.PromptTokens, "completion_tokens": r.Usage.CompletionTokens, "total_tokens": r.Usage.TotalTokens, "cost": r.Cost}
	}
	out["response"] = body{"status_code": 200, "request_id": r.RequestID, "body": answer}
	return json.Marshal(out)
}
