package service

import (
	"log/slog"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"gemini-client/events"
)

// live publishes answers while they are being written, for those who asked.
// It is a courtesy: core NATS, nothing stored, nothing waited for.
type live struct {
	nc    *nats.Conn
	names events.Names
	log   *slog.Logger
}

// run is the deltas of one delivery; a reader follows the newest.
type run struct {
	live    *live // nil: nobody asked
	subject string
	id      string
	name    string
	attempt int
	index   int
}

func (l *live) start(r events.Request) *run {
	if !r.Stream {
		return &run{}
	}
	return &run{live: l, subject: l.names.Deltas(r.ID), id: r.ID, name: uuid.NewString()}
}

// piece publishes the next piece; a new attempt begins again at index 0.
func (r *run) piece(attempt int, text string) {
	if attempt != r.attempt {
		r.attempt, r.index = attempt, 0
	}
	r.publish(text, false)
}

func (r *run) done() { r.publish("", true) }

func (r *run) publish(text string, done bool) {
	if r.live == nil {
		return
	}
	body, err := events.Delta{RequestID: r.id, Run: r.name, Attempt: r.attempt, Index: r.index, Content: text, Done: done}.Encode()
	r.index++
	if err == nil {
		err = r.live.nc.Publish(r.subject, body)
	}
	if err != nil {
		r.live.log.Debug("a delta was not published", "request_id", r.id, "error", err)
	}
}
