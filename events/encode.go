package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Encode returns the result's JSON. Metadata is in it byte for byte, and text
// as it is: no character is escaped for HTML. It returns an error if Metadata
// is neither nil nor a JSON object, if ToolCalls is not JSON, or if a number is
// not finite.
func (r Result) Encode() ([]byte, error) {
	if len(r.Metadata) > 0 && !isObjectText(r.Metadata) {
		return nil, errors.New("encode result: metadata is not a JSON object in UTF-8")
	}
	body := make([]byte, 0, r.size())
	body = appendString(field(append(body, '{'), "request_id"), r.RequestID)
	body = appendString(field(body, "status"), string(r.Status))
	body = appendText(field(body, "content"), r.Content)
	body = appendText(field(body, "error"), r.Error)
	body = r.Usage.append(field(body, "usage"))
	body, timed := appendFloat(field(body, "processing_time_ms"), r.ProcessingTimeMS)
	body = appendText(field(body, "model_used"), r.ModelUsed)
	body = appendText(field(body, "finish_reason"), r.FinishReason)
	body = appendText(field(body, "provider"), r.Provider)
	body = appendText(field(body, "generation_id"), r.GenerationID)
	body, priced := appendFloat(field(body, "cost"), r.Cost)
	body, detailed := r.CostDetails.append(body)
	if !timed || !priced || !detailed {
		return nil, errors.New("encode result: a number is not finite")
	}
	if r.ServiceTier != nil {
		body = appendString(field(body, "service_tier"), *r.ServiceTier)
	}
	if r.Cached {
		body = append(field(body, "cached"), "true"...)
	}
	body, err := appendCompact(field(body, "tool_calls"), r.ToolCalls)
	if err != nil {
		return nil, fmt.Errorf("encode result: tool calls: %w", err)
	}
	return r.appendEnd(body), nil
}

// size is about how long the result's JSON becomes: with room for what is escaped, and
// for what is short.
func (r Result) size() int {
	const rest = 1 << 10
	size := rest + len(r.Metadata) + len(r.ToolCalls)
	for _, s := range []*string{r.Content, r.Reasoning, r.Error} {
		if s != nil {
			size += len(*s) + len(*s)/16
		}
	}
	return size
}

// appendEnd appends the members behind tool_calls. Metadata comes last, as it was sent.
func (r Result) appendEnd(body []byte) []byte {
	body = appendText(field(body, "reasoning"), r.Reasoning)
	body = appendInt(field(body, "attempts"), &r.Attempts)
	body = appendInt(field(body, "retry_count"), &r.RetryCount)
	body = appendText(field(body, "error_code"), (*string)(r.ErrorCode))
	body = field(body, "retryable")
	if r.Retryable == nil {
		body = append(body, "null"...)
	} else {
		body = strconv.AppendBool(body, *r.Retryable)
	}
	body = appendRef(body, r.ResultRef)
	body = field(body, "timestamp")
	body = append(appendTime(append(body, '"'), r.Timestamp), '"')
	body = field(body, "metadata")
	if len(r.Metadata) == 0 {
		body = append(body, "null"...)
	}
	return append(append(body, r.Metadata...), '}')
}

// append appends the member "usage".
func (u *Usage) append(body []byte) []byte {
	if u == nil {
		return append(body, "null"...)
	}
	body = appendInt(field(append(body, '{'), "prompt_tokens"), &u.PromptTokens)
	body = appendInt(field(body, "completion_tokens"), &u.CompletionTokens)
	body = appendInt(field(body, "total_tokens"), &u.TotalTokens)
	body = appendInt(field(body, "cached_tokens"), u.CachedTokens)
	body = appendInt(field(body, "reasoning_tokens"), u.ReasoningTokens)
	if u.AudioTokens != nil {
		body = appendInt(field(body, "audio_tokens"), u.AudioTokens)
	}
	return append(body, '}')
}

// append appends the member "cost_details", if there are any. ok is false if a number is
// not finite.
func (c *CostDetails) append(body []byte) (_ []byte, ok bool) {
	if c == nil {
		return body, true
	}
	body = append(field(body, "cost_details"), '{')
	body, whole := appendFloat(field(body, "upstream_inference_cost"), c.Upstream)
	body, prompt := appendFloat(field(body, "upstream_inference_prompt_cost"), c.UpstreamPrompt)
	body, completions := appendFloat(field(body, "upstream_inference_completions_cost"), c.UpstreamCompletions)
	return append(body, '}'), whole && prompt && completions
}

// appendRef appends the member "result_ref", if there is one.
func appendRef(body []byte, b *BodyRef) []byte {
	if b == nil {
		return body
	}
	body = appendString(field(append(field(body, "result_ref"), '{'), "bucket"), b.Bucket)
	body = appendString(field(body, "name"), b.Name)
	body = appendInt(field(body, "size"), &b.Size)
	body = appendString(field(body, "digest"), b.Digest)
	if b.Note != "" {
		body = appendString(field(body, "note"), b.Note)
	}
	return append(body, '}')
}

// appendCompact appends JSON without the spaces between its values, null for nil.
func appendCompact(body []byte, raw json.RawMessage) ([]byte, error) {
	if raw == nil {
		return append(body, "null"...), nil
	}
	buffer := bytes.NewBuffer(body)
	err := json.Compact(buffer, raw)
	return buffer.Bytes(), err
}

// DecodeResult reads a result, for its readers. The error says what makes the
// body unreadable: it is not JSON of the right types, or lacks a valid
// request_id, status or timestamp. Fields it does not know are ignored.
func DecodeResult(body []byte) (Result, error) {
	type plain Result
	var read struct {
		plain

		Timestamp string `json:"timestamp"`
	}
	if err := json.Unmarshal(body, &read); err != nil {
		return Result{}, fmt.Errorf("decode result: %w", err)
	}
	result := Result(read.plain)
	at, ok := parseTime(read.Timestamp)
	switch {
	case !ValidID(result.RequestID):
		return Result{}, fmt.Errorf("decode result: request_id %s is not a UUID", quote(result.RequestID))
	case result.Status != StatusSuccess && result.Status != StatusError:
		return Result{}, fmt.Errorf("decode result: status %s is neither success nor error", quote(string(result.Status)))
	case !ok:
		return Result{}, fmt.Errorf("decode result: timestamp %s is not a time", quote(read.Timestamp))
	}
	result.Timestamp = at
	result.Metadata = nilIfNull(result.Metadata)
	result.ToolCalls = nilIfNull(result.ToolCalls)
	return result, nil
}

// isObjectText reports whether raw is one JSON object, alone and in UTF-8.
func isObjectText(raw []byte) bool {
	return raw[0] == '{' && utf8.Valid(raw) && json.Valid(raw)
}

func nilIfNull(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}
