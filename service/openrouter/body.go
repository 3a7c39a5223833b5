package openrouter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
)

// small is up to which length a text or a value is copied into the body. What is longer is sent from where it lies, and
// escaped meanwhile.
const small = 16 << 10

// A body is a request's JSON in segments.
type body struct {
	segments []segment
	json     []byte // behind the last segment
	size     int64
	header   http.Header // that belongs to it
}

// A segment is JSON, or, if that is nil, the inner part of a JSON string as the text it holds.
type segment struct {
	json []byte
	text string
}

// raw adds JSON.
func (b *body) raw(json []byte) {
	if len(json) <= small {
		b.json = append(b.json, json...)
		return
	}
	b.cut()
	b.segments = append(b.segments, segment{json: json})
	b.size += int64(len(json))
}

func (b *body) put(json string) { b.json = append(b.json, json...) }

// text adds a JSON string.
func (b *body) text(s string) {
	b.put(`"`)
	if len(s) <= small {
		b.json = appendText(b.json, s)
	} else {
		b.cut()
		b.segments = append(b.segments, segment{text: s})
		b.size += escapedLen(s)
	}
	b.put(`"`)
}

// texts adds a list of JSON strings.
func (b *body) texts(list []string) {
	before := "["
	for _, s := range list {
		b.put(before)
		b.text(s)
		before = ","
	}
	b.put("]")
}

// number adds a number as encoding/json writes it.
func (b *body) number(n float64) error {
	if least := math.Abs(n); least == 0 || 1e-6 <= least && least < 1e21 {
		b.json = strconv.AppendFloat(b.json, n, 'f', -1, 64)
		return nil
	}
	encoded, err := json.Marshal(n)
	b.raw(encoded)
	return err
}

// cut makes a segment of the JSON behind the last one.
func (b *body) cut() {
	if len(b.json) > 0 {
		b.segments = append(b.segments, segment{json: b.json})
		b.size += int64(len(b.json))
		b.json = b.json[len(b.json):]
	}
}

// open returns a reader from the beginning.
func (b *body) open() io.ReadCloser {
	if len(b.segments) == 1 && b.segments[0].json != nil {
		return io.NopCloser(bytes.NewReader(b.segments[0].json))
	}
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

// body returns what is sent: a request whose answer streams.
func (r *Request) body() (*body, error) { return r.encode("stream") }

// encode returns the request's fields, and others that are true, in the order of their names.
func (r *Request) encode(others ...string) (*body, error) {
	var room [16]string
	own := r.own(append(room[:0], others...))
	names := own
	for name := range r.Extra {
		if slices.Contains(own, name) {
			return nil, fmt.Errorf("extra field %q is set by the request itself", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	b := &body{header: r.header(), json: make([]byte, 0, r.guess())}
	before := "{"
	for _, name := range names {
		b.put(before)
		b.text(name)
		b.put(":")
		if err := r.field(b, name); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		before = ","
	}
	b.put("}")
	b.cut()
	return b, nil
}

// guess is about how long what is copied into the body will be.
func (r *Request) guess() int {
	n := 512
	for _, length := range []int{len(r.System), len(r.Prompt), len(r.Messages)} {
		if length <= small {
			n += length + length/8
		}
	}
	return n
}

// own adds the names of the fields that the request sets.
func (r *Request) own(names []string) []string {
	add := func(name string, given bool) {
		if given {
			names = append(names, name)
		}
	}
	add("max_tokens", r.MaxTokens != 0)
	add("messages", true)
	add("model", r.Model != "")
	add("models", len(r.Models) > 0)
	add("stop", len(r.Stop) > 0)
	add("temperature", r.Temperature != nil)
	add("top_k", r.TopK != nil)
	add("top_p", r.TopP != nil)
	return names
}

// field adds the value of a field.
func (r *Request) field(b *body, name string) error {
	if value, extra := r.Extra[name]; extra {
		return b.extra(value)
	}
	switch name {
	case "max_tokens":
		b.json = strconv.AppendInt(b.json, int64(r.MaxTokens), 10)
	case "messages":
		return r.messages(b)
	case "model":
		b.text(r.Model)
	case "models":
		b.texts(r.Models)
	case "stop":
		b.texts(r.Stop)
	case "temperature":
		return b.number(*r.Temperature)
	case "top_k":
		b.json = strconv.AppendInt(b.json, int64(*r.TopK), 10)
	case "top_p":
		return b.number(*r.TopP)
	default:
		b.put("true")
	}
	return nil
}

// extra adds a value that comes from outside; nil is null.
func (b *body) extra(value json.RawMessage) error {
	switch {
	case value == nil:
		b.put("null")
	case !json.Valid(value):
		return errors.New("not JSON")
	default:
		b.raw(value)
	}
	return nil
}

// messages adds the system message, the prompt, and the message list.
func (r *Request) messages(b *body) error {
	list := bytes.TrimSpace(r.Messages)
	texts := r.System != "" || r.Prompt != ""
	switch {
	case len(list) == 0 && !texts:
		return errors.New("no messages")
	case len(list) == 0:
		list = []byte("[]")
	case !json.Valid(list) || list[0] != '[':
		return errors.New("not a JSON list")
	}
	if !texts {
		return r.list(b, list)
	}
	before := "["
	for _, m := range [...]Message{{"system", r.System}, {"user", r.Prompt}} {
		if m.Content != "" {
			b.put(before + `{"role":"` + m.Role + `","content":`)
			b.text(m.Content)
			b.put("}")
			before = ","
		}
	}
	if list = bytes.TrimSpace(list[1:]); list[0] != ']' {
		b.put(",")
	}
	return r.list(b, list)
}

// list adds an end of Messages, with what is put in between.
func (r *Request) list(b *body, list []byte) error {
	at := cap(r.Messages) - cap(list) // both end in the same place
	for _, in := range r.Insert {
		before := in.At - at
		if before < 0 || before > len(list) {
			return errors.New("something is to be put in where there is no message")
		}
		b.raw(list[:before])
		b.put(in.JSON)
		list, at = list[before:], in.At
	}
	b.raw(list)
	return nil
}
