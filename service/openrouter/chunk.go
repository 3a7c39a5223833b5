package openrouter

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// A chunk is one event of the stream, or the document of an answer that did not stream.
type chunk struct {
	ID       string          `json:"id"`
	Model    string          `json:"model"`
	Provider string          `json:"provider"`
	Tier     string          `json:"service_tier"`
	Choices  []choice        `json:"choices"`
	Usage    json.RawMessage `json:"usage"`
	Error    json.RawMessage `json:"error"`
}

type choice struct {
	Index              int64           `json:"index"`
	Delta              *piece          `json:"delta"`
	Message            *piece          `json:"message"` // in place of delta where the answer did not stream
	FinishReason       string          `json:"finish_reason"`
	NativeFinishReason string          `json:"native_finish_reason"`
	Error              json.RawMessage `json:"error"`
}

type piece struct {
	Content   view       `json:"content"`
	Reasoning view       `json:"reasoning"`
	Refusal   view       `json:"refusal"`
	Details   []detail   `json:"reasoning_details"`
	ToolCalls []fragment `json:"tool_calls"`
}

type detail struct {
	Text    view `json:"text"`
	Summary view `json:"summary"`
}

// A fragment is a part of a tool call; index says of which one.
type fragment struct {
	Index    *int64 `json:"index"`
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments view   `json:"arguments"`
	} `json:"function"`
}

type wireUsage struct {
	PromptTokens     int64        `json:"prompt_tokens"`
	CompletionTokens int64        `json:"completion_tokens"`
	TotalTokens      int64        `json:"total_tokens"`
	Cost             *float64     `json:"cost"`
	Details          *CostDetails `json:"cost_details"`
	Prompt           struct {
		Cached *int64 `json:"cached_tokens"`
		Audio  *int64 `json:"audio_tokens"`
	} `json:"prompt_tokens_details"`
	Completion struct {
		Reasoning *int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

// usage returns the chunk's usage, or nil. Counts are never negative.
func (c *chunk) usage() *Usage {
	if len(c.Usage) == 0 {
		return nil
	}
	var w wireUsage
	if !w.scan(c.Usage) {
		w = wireUsage{}
		if decode(c.Usage, &w) != nil {
			return nil
		}
	}
	u := &Usage{
		PromptTokens:     max(w.PromptTokens, 0),
		CompletionTokens: max(w.CompletionTokens, 0),
		TotalTokens:      max(w.TotalTokens, 0),
		CachedTokens:     w.Prompt.Cached,
		ReasoningTokens:  w.Completion.Reasoning,
		AudioTokens:      w.Prompt.Audio,
		Cost:             w.Cost,
		CostDetails:      w.Details,
	}
	if u.TotalTokens == 0 {
		u.TotalTokens = u.PromptTokens + u.CompletionTokens
	}
	return u
}

// hasContent reports whether there is an answer, or a part of one, beside an error.
func (c *chunk) hasContent() bool {
	return slices.ContainsFunc(c.Choices, func(c choice) bool {
		p := cmp.Or(c.Delta, c.Message)
		return p != nil && len(p.Content) > 0
	})
}

// text is a string that takes whatever JSON holds in its place: null is empty, a list of text parts is joined, anything else is
// kept as its JSON, so that nothing paid for is lost and a code may be a number or a string.
type text string

// UnmarshalJSON fails only where the JSON is malformed.
func (t *text) UnmarshalJSON(data []byte) error {
	inner := data[1:max(len(data)-1, 1)]
	switch {
	case string(data) == "null":
		*t = ""
		return nil
	case data[0] == '"' && bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner):
		*t = text(inner)
		return nil
	case data[0] == '"':
		return json.Unmarshal(data, (*string)(t))
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(data, &parts); err == nil {
		var joined strings.Builder
		for _, part := range parts {
			joined.WriteString(part.Text)
		}
		*t = text(joined.String())
	} else {
		*t = text(data)
	}
	return nil
}

// view is a text that lies in the chunk it came with, or is new.
type view []byte

// UnmarshalJSON is text's.
func (v *view) UnmarshalJSON(data []byte) error {
	var t text
	err := t.UnmarshalJSON(data)
	*v = view(t)
	return err
}

var errNotAnObject = errors.New("not a JSON object")

// decode reads a JSON object permissively: unknown fields are ignored, and so is a field of a type nobody expects.
func decode(data []byte, into any) error {
	if data = bytes.TrimSpace(data); len(data) == 0 || data[0] != '{' {
		return errNotAnObject
	}
	err := json.Unmarshal(data, into)
	if _, odd := errors.AsType[*json.UnmarshalTypeError](err); odd {
		return nil
	}
	return err
}
