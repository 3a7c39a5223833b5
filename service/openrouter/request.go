package openrouter

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Request is one chat completion request. Zero and nil fields are not sent, so that the model's own defaults apply.
type Request struct {
	Model       string
	Models      []string        // tried in order when the one before fails
	Messages    json.RawMessage // OpenRouter's message list; Messages makes one of plain texts
	MaxTokens   int
	Temperature *float64 // 0 is a value and is sent
	TopP        *float64
	TopK        *int
	Stop        []string
	Extra       map[string]json.RawMessage // further fields of the body; a field the Request sets itself is refused
}

// Message is a plain text with its role: system, user or assistant.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Messages encodes plain texts as a message list.
func Messages(list ...Message) json.RawMessage {
	encoded, err := json.Marshal(list)
	if err != nil {
		panic(err) // two strings always encode
	}
	return encoded
}

// MarshalJSON returns the body as it is sent, with stream set.
func (r Request) MarshalJSON() ([]byte, error) {
	if len(r.Messages) == 0 {
		return nil, errors.New("no messages")
	}
	body := map[string]any{"messages": r.Messages, "stream": true}
	put(body, "model", r.Model, r.Model != "")
	put(body, "models", r.Models, len(r.Models) > 0)
	put(body, "max_tokens", r.MaxTokens, r.MaxTokens != 0)
	put(body, "temperature", r.Temperature, r.Temperature != nil)
	put(body, "top_p", r.TopP, r.TopP != nil)
	put(body, "top_k", r.TopK, r.TopK != nil)
	put(body, "stop", r.Stop, len(r.Stop) > 0)
	for name, value := range r.Extra {
		if _, taken := body[name]; taken {
			return nil, fmt.Errorf("extra field %q is set by the request itself", name)
		}
		body[name] = value
	}
	return json.Marshal(body)
}

func put(body map[string]any, name string, value any, given bool) {
	if given {
		body[name] = value
	}
}
