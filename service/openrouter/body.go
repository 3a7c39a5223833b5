package openrouter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"unicode/utf8"
)

// smallText is up to which length texts are encoded before they are sent. Longer
// ones are escaped while they are sent, so that no copy of them is made.
const smallText = 64 << 10

// A body is a request's JSON in segments, so that what is large is sent from where it
// lies.
type body struct {
	segments []segment
	size     int64
}

// A segment is JSON, or, if that is nil, the inner part of a JSON string as the text
// it holds.
type segment struct {
	json []byte
	text string
}

func (b *body) add(json ...[]byte) {
	for _, one := range json {
		b.segments = append(b.segments, segment{json: one})
		b.size += int64(len(one))
	}
}

func (b *body) addText(s string) {
	b.segments = append(b.segments, segment{text: s})
	b.size += escapedLen(s)
}

// open returns a reader from the beginning.
func (b *body) open() io.ReadCloser {
	readers := make([]io.Reader, len(b.segments))
	for i, p := range b.segments {
		if p.json != nil {
			readers[i] = bytes.NewReader(p.json)
		} else {
			readers[i] = &escaper{rest: p.text}
		}
	}
	return io.NopCloser(io.MultiReader(readers...))
}

// body returns what is sent: the fields in the order of their names.
func (r Request) body() (*body, error) {
	fields := map[string]any{"messages": nil, "stream": true}
	put(fields, "model", r.Model, r.Model != "")
	put(fields, "models", r.Models, len(r.Models) > 0)
	put(fields, "max_tokens", r.MaxTokens, r.MaxTokens != 0)
	put(fields, "temperature", r.Temperature, r.Temperature != nil)
	put(fields, "top_p", r.TopP, r.TopP != nil)
	put(fields, "top_k", r.TopK, r.TopK != nil)
	put(fields, "stop", r.Stop, len(r.Stop) > 0)
	for name, value := range r.Extra {
		if _, taken := fields[name]; taken {
			return nil, fmt.Errorf("extra field %q is set by the request itself", name)
		}
		fields[name] = value
	}
	b, before := &body{}, byte('{')
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		b.add([]byte{before}, key, []byte(":"))
		before = ','
		if err := r.addField(b, name, fields[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	b.add([]byte("}"))
	return b, nil
}

func put(fields map[string]any, name string, value any, given bool) {
	if given {
		fields[name] = value
	}
}

func (r Request) addField(b *body, name string, value any) error {
	raw, isRaw := value.(json.RawMessage)
	switch {
	case name == "messages":
		return r.addMessages(b)
	case !isRaw:
		encoded, err := json.Marshal(value)
		b.add(encoded)
		return err
	case raw == nil:
		raw = json.RawMessage("null")
	case !json.Valid(raw):
		return errors.New("not JSON")
	}
	b.add(raw)
	return nil
}

// addMessages adds the system message, and the message list or the prompt.
func (r Request) addMessages(b *body) error {
	var list []Message
	if r.System != "" {
		list = append(list, Message{Role: "system", Content: r.System})
	}
	if r.Prompt != "" {
		list = append(list, Message{Role: "user", Content: r.Prompt})
	}
	rest := bytes.TrimSpace(r.Messages)
	switch {
	case len(rest) == 0 && len(list) == 0:
		return errors.New("no messages")
	case len(rest) == 0:
		rest = []byte("[]")
	case !json.Valid(rest) || rest[0] != '[':
		return errors.New("not a JSON list")
	}
	if len(list) == 0 {
		b.add(rest)
		return nil
	}
	if len(r.System)+len(r.Prompt) <= smallText {
		texts := Messages(list...)
		b.add(texts[:len(texts)-1])
	} else {
		before := "["
		for _, m := range list {
			b.add([]byte(before + `{"role":"` + m.Role + `","content":"`))
			b.addText(m.Content)
			b.add([]byte(`"}`))
			before = ","
		}
	}
	if rest = bytes.TrimSpace(rest[1:]); rest[0] != ']' {
		b.add([]byte(","))
	}
	b.add(rest)
	return nil
}

// An escaper reads a text as the inner part of a JSON string.
type escaper struct {
	rest    string
	escaped []byte // of rest's beginning, not yet read
	buffer  [512]byte
}

// Read never fails but at the end.
func (e *escaper) Read(to []byte) (n int, err error) {
	for n < len(to) {
		if len(e.escaped) == 0 {
			if e.rest == "" {
				break
			}
			e.fill()
		}
		copied := copy(to[n:], e.escaped)
		e.escaped = e.escaped[copied:]
		n += copied
	}
	if n == 0 && len(to) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// longestEscape is that of a control character: \u0001.
const longestEscape = 6

func (e *escaper) fill() {
	e.escaped = e.buffer[:0]
	for e.rest != "" && len(e.escaped)+longestEscape <= len(e.buffer) {
		char, width := utf8.DecodeRuneInString(e.rest)
		e.escaped = appendEscaped(e.escaped, char)
		e.rest = e.rest[width:]
	}
}

func escapedLen(s string) (n int64) {
	var one [longestEscape]byte
	for _, char := range s {
		n += int64(len(appendEscaped(one[:0], char)))
	}
	return n
}

// appendEscaped escapes only what has to be, in its shortest form: a text never
// becomes longer than in the JSON that it came from. What is not UTF-8 becomes
// U+FFFD.
func appendEscaped(to []byte, char rune) []byte {
	const digits = "0123456789abcdef"
	switch {
	case char == '"', char == '\\':
		return append(to, '\\', byte(char))
	case char >= ' ':
		return utf8.AppendRune(to, char)
	case char == '\n':
		return append(to, `\n`...)
	case char == '\r':
		return append(to, `\r`...)
	case char == '\t':
		return append(to, `\t`...)
	case char == '\b':
		return append(to, `\b`...)
	case char == '\f':
		return append(to, `\f`...)
	}
	return append(to, '\\', 'u', '0', '0', digits[char>>4], digits[char&0xF])
}
