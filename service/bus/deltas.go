package bus

import (
	"log/slog"

	"github.com/google/uuid"

	"gemini-client/events"
)

// Deltas publishes an answer while it is being written, for requests with stream.
// They are a courtesy: core NATS, nothing stored, nothing waited for. The zero
// value publishes nothing.
type Deltas struct {
	conn    *Conn // nil: not requested
	log     *slog.Logger
	subject string
	id      string
	run     string // of this delivery; a reader follows the newest
	attempt int
	index   int
}

// Deltas returns the deltas of one delivery of a request.
func (b *Bus) Deltas(d *Delivery, r *events.Request) *Deltas {
	if !r.Stream {
		return &Deltas{}
	}
	return &Deltas{conn: b.conn, log: b.tel.Logger, subject: b.names.Of(d.Scope()).Deltas(r.ID), id: r.ID, run: uuid.NewString()}
}

// Piece publishes the next piece; a new attempt begins again at index 0.
func (d *Deltas) Piece(attempt int, text string) {
	if attempt != d.attempt {
		d.attempt, d.index = attempt, 0
	}
	d.publish(text, false)
}

// Done publishes the last delta.
func (d *Deltas) Done() { d.publish("", true) }

func (d *Deltas) publish(text string, done bool) {
	if d.conn == nil {
		return
	}
	body, err := events.Delta{RequestID: d.id, Run: d.run, Attempt: d.attempt, Index: d.index, Content: text, Done: done}.Encode()
	d.index++
	if err == nil {
		err = d.conn.Publish(d.subject, body)
	}
	if err != nil {
		d.log.Debug("a delta was not published", "request_id", d.id, "error", err)
	}
}
