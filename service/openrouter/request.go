package openrouter

import (
	"encoding/json"
	"io"
	"time"
)

// Request is one chat completion request. Zero and nil fields are not sent, so that the model's own defaults apply.
// Texts and raw JSON are sent from where they lie, so they must not be changed during a call.
type Request struct { //nolint:recvcheck // MarshalJSON serves values too; the others would copy it again and again
	Model       string
	Models      []string        // tried in order when the one before fails
	System      string          // a message of this text comes first
	Prompt      string          // a message of the user comes next
	Messages    json.RawMessage // OpenRouter's message list; Messages makes one of plain texts
	Insert      []Insertion     // is sent in the midst of Messages, in order
	MaxTokens   int
	Temperature *float64 // 0 is a value and is sent
	TopP        *float64
	TopK        *int
	Stop        []string
	Extra       map[string]json.RawMessage // further fields of the body; a field the Request sets itself is refused

	// What is not part of the body:

	CacheTTL   *int          // seconds for which OpenRouter's response cache may keep the answer, 1 to 86400; 0 refuses the cache, nil says nothing
	CacheClear bool          // with CacheTTL: what the cache holds of this request is dropped first
	FirstToken time.Duration // in place of Config.FirstToken
}

// Insertion is JSON that is sent before a byte of Messages, which need not be copied to be changed.
type Insertion struct {
	At   int
	JSON string
}

// Message is a plain text with its role: system, user or assistant.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// MarshalJSON returns the body as it is sent, with stream set.
func (r Request) MarshalJSON() ([]byte, error) {
	b, err := r.body()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(b.open())
}
