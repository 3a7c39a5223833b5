package telemetry

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
)

// Limits of what is recorded of prompts and answers, for each attribute. A text
// that is cut ends in "…". Where there is too much in all, the newest messages
// are kept: they hold the prompt. One span that is too large makes a collector
// refuse its whole batch.
const (
	captureText  = 8 << 10  // bytes of one part's text
	captureTotal = 64 << 10 // bytes of all texts together
	captureParts = 256      // messages and their parts together
	captureWord  = 128      // bytes of a role, a type, a name or an id
)

// capturedMessage and capturedPart are the shapes of the GenAI conventions
// (1.41.0, docs/gen-ai/gen-ai-input-messages.json and -output-messages.json).
type capturedMessage struct {
	Role         string         `json:"role"`
	Parts        []capturedPart `json:"parts"`
	FinishReason string         `json:"finish_reason,omitempty"` // of an answer, which always has one
}

type capturedPart struct {
	Type      string  `json:"type"`
	ID        string  `json:"id,omitempty"`
	Name      string  `json:"name,omitempty"`
	Content   *string `json:"content,omitempty"`
	Arguments any     `json:"arguments,omitempty"`
	Response  *string `json:"response,omitempty"`
}

// chatMessage is a message as OpenRouter's API has it.
type chatMessage struct {
	Role       string          `json:"role"`
	Content    json.RawMessage `json:"content"`
	ToolCalls  []toolCall      `json:"tool_calls"`
	ToolCallID string          `json:"tool_call_id"`
}

type toolCall struct {
	ID       string `json:"id"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// content returns the attributes of the prompt. Call it only where they are
// recorded: it decodes and copies.
func (c ChatInfo) content() []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if c.Instruction != "" {
		attrs = append(attrs, asJSON(keyInstructions, []capturedPart{newRoom().text(c.Instruction)}))
	}
	if c.Messages == nil {
		question := capturedMessage{Role: "user", Parts: []capturedPart{newRoom().text(c.Prompt)}}
		return append(attrs, asJSON(keyInputMessages, []capturedMessage{question}))
	}
	var list []chatMessage
	if json.Unmarshal(c.Messages, &list) != nil {
		return attrs // not a list that OpenRouter reads either
	}
	r := newRoom()
	messages := []capturedMessage{}
	for _, m := range slices.Backward(list) {
		if r.parts <= 0 {
			break
		}
		messages = append(messages, r.message(m))
	}
	slices.Reverse(messages)
	return append(attrs, asJSON(keyInputMessages, messages))
}

// content returns the attribute of the answer, none if the call failed.
func (r ChatResult) content() []attribute.KeyValue {
	if r.ErrorType != "" || r.Err != nil {
		return nil
	}
	room := newRoom()
	m := capturedMessage{Role: "assistant", Parts: []capturedPart{}, FinishReason: finishReason(r.FinishReason)}
	for _, text := range []struct{ kind, content string }{{"text", r.Content}, {"refusal", r.Refusal}, {"reasoning", r.Reasoning}} {
		if text.content != "" {
			part := room.text(text.content)
			part.Type = text.kind
			m.Parts = append(m.Parts, part)
		}
	}
	var calls []toolCall
	if json.Unmarshal(r.ToolCalls, &calls) == nil {
		m.Parts = append(m.Parts, room.toolCalls(calls)...)
	}
	return []attribute.KeyValue{asJSON(keyOutputMessages, []capturedMessage{m})}
}

// finishReason returns a reason as the conventions spell it: in the singular, and
// "error" where none was given.
func finishReason(reason string) string {
	switch reason {
	case "":
		return "error"
	case "tool_calls":
		return "tool_call"
	}
	return cut(reason, captureWord)
}

// room is how much may still be recorded in one attribute.
type room struct{ bytes, parts int }

func newRoom() *room { return &room{bytes: captureTotal, parts: captureParts} }

func (r *room) message(m chatMessage) capturedMessage {
	r.parts-- // a message without parts takes room as well
	parts := []capturedPart{}
	if m.Role == "tool" {
		part := capturedPart{Type: "tool_call_response", ID: cut(m.ToolCallID, captureWord)}
		part.Response = r.take(joinTexts(m.Content))
		parts = append(parts, part)
	} else {
		parts = append(parts, r.contentParts(m.Content)...)
	}
	return capturedMessage{Role: cut(m.Role, captureWord), Parts: append(parts, r.toolCalls(m.ToolCalls)...)}
}

// contentParts reads a message's content, a text or a list of parts. Of images,
// files and sounds only the type is recorded.
func (r *room) contentParts(content json.RawMessage) []capturedPart {
	var parts []capturedPart
	for _, p := range readContent(content) {
		switch {
		case r.parts <= 0:
			return parts
		case p.Type == "text":
			parts = append(parts, r.text(p.Text))
		default:
			r.parts--
			parts = append(parts, capturedPart{Type: cut(p.Type, captureWord)})
		}
	}
	return parts
}

func (r *room) toolCalls(calls []toolCall) []capturedPart {
	var parts []capturedPart
	for _, call := range calls {
		if r.parts <= 0 {
			break
		}
		part := capturedPart{Type: "tool_call", ID: cut(call.ID, captureWord), Name: cut(call.Function.Name, captureWord)}
		text := r.take(call.Function.Arguments)
		part.Arguments = *text
		if *text == call.Function.Arguments && json.Valid([]byte(*text)) {
			part.Arguments = json.RawMessage(*text)
		}
		parts = append(parts, part)
	}
	return parts
}

func (r *room) text(s string) capturedPart {
	return capturedPart{Type: "text", Content: r.take(s)}
}

// take returns as much of a part's text as there is room for.
func (r *room) take(s string) *string {
	short := cut(s, min(captureText, r.bytes))
	r.bytes = max(0, r.bytes-len(short))
	r.parts--
	return &short
}

type contentPart struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

func readContent(content json.RawMessage) []contentPart {
	var text *string
	if json.Unmarshal(content, &text) == nil {
		if text == nil {
			return nil
		}
		return []contentPart{{"text", *text}}
	}
	var parts []contentPart
	_ = json.Unmarshal(content, &parts) // what cannot be read is not recorded
	return parts
}

// joinTexts returns the texts of a tool's answer.
func joinTexts(content json.RawMessage) string {
	var texts []string
	for _, p := range readContent(content) {
		texts = append(texts, p.Text)
	}
	return strings.Join(texts, "\n")
}

// cut shortens s to at most n bytes and a "…", between two runes.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// asJSON encodes what has been built here, which always can be.
func asJSON(key attribute.Key, value any) attribute.KeyValue {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // it is read by people
	_ = e.Encode(value)
	return key.String(strings.TrimSuffix(b.String(), "\n"))
}
