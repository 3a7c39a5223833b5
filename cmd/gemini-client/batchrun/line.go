package batchrun

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"text/template"
	"time"

	"github.com/google/uuid"

	"gemini-client/events"
)

// A line is one request of the input.
type line struct {
	number   int
	request  events.Request
	openAI   bool   // it is one of OpenAI's batch lines, and so is its result
	customID string // of such a line
	err      error  // why it is no request; its id is set all the same
}

// parser reads lines.
type parser struct {
	text     bool               // each line is a prompt
	template *template.Template // makes a prompt of each; nil: none
	model    string             // of those that name none; "": the service's
}

// namespace is that of the ids that are made of lines.
var namespace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("gemini-client/batch")) //nolint:gochecknoglobals // a constant

// parse reads one line. A blank one is no request: false.
func (p parser) parse(number int, data []byte) (line, bool) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return line{}, false
	}
	l := line{number: number}
	switch {
	case p.template != nil:
		l.request.Prompt, l.err = prompt(p.template, data)
	case p.text:
		l.request = events.Request{Prompt: string(data)}
	case isOpenAI(data):
		l.openAI = true
		l.customID, l.request, l.err = fromOpenAI(data)
	default:
		l.request, l.err = fromEvent(data)
	}
	if l.request.Model == "" {
		l.request.Model = p.model
	}
	l.request.Stream, l.request.Timestamp = false, time.Time{}
	if !events.ValidID(l.request.ID) {
		if l.request.ID != "" {
			l.err = errors.Join(l.err, fmt.Errorf("request_id %q is no UUID", l.request.ID))
		}
		l.request.ID = p.idOf(number, data)
	}
	return l, true
}

// idOf makes the id of a line, of all that makes its request.
func (p parser) idOf(number int, data []byte) string {
	name := strconv.AppendInt(nil, int64(number), 10)
	name = append(append(append(name, '\n'), p.model...), '\n')
	if p.template != nil {
		name = append(append(name, p.template.Root.String()...), '\n')
	}
	return uuid.NewSHA1(namespace, append(name, data...)).String()
}

// fromEvent reads a request event.
func fromEvent(data []byte) (events.Request, error) {
	type event events.Request
	read := struct {
		*event

		Timestamp json.RawMessage `json:"timestamp"` // of when it was written
	}{event: &event{Parameters: events.DefaultParameters(), TierFallback: true}}
	if err := json.Unmarshal(data, &read); err != nil {
		return events.Request{ID: idIn(data)}, fmt.Errorf("it is no request event: %w", err)
	}
	return events.Request(*read.event), nil
}

// idIn is the id of what cannot be read otherwise; "" if it has none.
func idIn(data []byte) string {
	var named struct {
		ID string `json:"request_id"`
	}
	_ = json.Unmarshal(data, &named) // then there is none
	return named.ID
}
