package openrouter

import (
	"encoding/json"
	"io"
)

// Request is one chat completion request. Zero and nil fields are not sent, so that the model's own defaults apply.
// Texts and raw JSON are sent from where they lie, so they must not be changed during a call.
type Request struct {
	Model       string
	Models      []string        // tried in order when the one before fails
	System      string          // a message of this text comes first
	Prompt      string          // a message of the user comes next
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
	b, err := r.body()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(b.open())
}
