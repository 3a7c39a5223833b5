package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of one question of a walk. The answer stays in memory while it is read.
const (
	walkMessages = 1000
	walkMaxBytes = 1 << 20
)

// Walked is a stored message.
type Walked struct {
	Subject  string // empty if the message's headers are not to be believed: then the rest is empty too
	Sequence uint64
	Time     time.Time
	Header   nats.Header
	Data     []byte
	Left     uint64 // how many follow, when the answer that it came with was begun
}

// Walk calls each with the messages of a stream in their order, those that were stored at
// a time or later, or, where that is zero, those from a sequence on. It stops behind the
// last one, or when each returns false. A message may be as large as max_payload; at most
// one, and about 1 MiB of others, are in memory at once. It needs the right to direct gets
// alone, and makes no consumer. A copy of the stream that lags may answer. Errors:
// ErrDenied, ErrNoAnswer, nats.ErrNoResponders where there is no such stream, those of an
// answer that lacks something, ctx's cause.
func (c *Conn) Walk(ctx context.Context, stream string, since time.Time, sequence uint64, each func(Walked) (more bool)) error {
	if err := c.mux.open(c.Conn); err != nil {
		return err
	}
	from := map[string]any{"seq": max(sequence, 1)}
	if !since.IsZero() {
		from = map[string]any{"start_time": since.UTC()}
	}
	for {
		messages, next, err := c.walkOn(ctx, stream, from)
		if err != nil {
			return fmt.Errorf("stream %s: %w", stream, err)
		}
		for i := range messages {
			if !each(messages[i]) {
				return nil
			}
		}
		if next == 0 {
			return nil
		}
		from = map[string]any{"seq": next}
	}
}

// walkOn asks for the next messages. next is where those behind them begin; 0 if there
// are none.
func (c *Conn) walkOn(ctx context.Context, stream string, from map[string]any) (messages []Walked, next uint64, err error) {
	from["batch"], from["max_bytes"] = walkMessages, walkMaxBytes
	body, err := json.Marshal(from)
	if err != nil {
		return nil, 0, err
	}
	a := &walkAnswer{}
	done := make(chan error, 1)
	c.mux.ask(&nats.Msg{Subject: c.api("DIRECT.GET." + stream), Data: body}, func(m *nats.Msg, err error) bool {
		more := false
		if err == nil {
			more, err = a.take(m)
		}
		if !more {
			done <- err
		}
		return more
	})
	select {
	case err = <-done:
	case <-ctx.Done(): // an answer may still come
		return nil, 0, context.Cause(ctx)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left > 0 {
		next = a.last + 1
	}
	return a.messages, next, err
}

// walkAnswer is what has come of an answer.
type walkAnswer struct {
	mu       sync.Mutex
	messages []Walked
	last     uint64 // sequence of the message before
	left     uint64 // that the server has not sent yet
	blind    bool   // the message before is not to be believed
}

// take takes the next message of an answer, and returns whether more are due.
func (a *walkAnswer) take(m *nats.Msg) (more bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !whole(m) { // somebody stored it to look like the server's word; the next message tells its sequence
		a.messages, a.blind = append(a.messages, Walked{}), true
		return true, nil
	}
	previous, left := number(m.Header, jetstream.LastSequenceHeader), number(m.Header, numPendingHeader)
	if m.Header[jetstream.StreamHeader] == nil {
		return false, a.end(m.Header, previous, left)
	}
	f, err := readFound(m.Header)
	if err != nil || !a.follows(previous) || f.sequence <= previous {
		return false, fmt.Errorf("%w: a message is missing, or is another one (%w)", errNotAll, err)
	}
	a.last, a.left, a.blind = f.sequence, left, false
	a.messages = append(a.messages, Walked{Subject: f.subject, Sequence: f.sequence, Time: f.time, Header: m.Header, Data: m.Data, Left: left})
	return true, nil
}

// follows reports whether what names previous as the message before it is the next one.
func (a *walkAnswer) follows(previous uint64) bool {
	return previous == a.last || a.blind && previous > a.last && previous != 1<<64-1
}

// end reads the server's last word.
func (a *walkAnswer) end(h nats.Header, previous, left uint64) error {
	status := h.Get("Status")
	switch {
	case len(a.messages) == 0 && status == statusNone:
		a.left = 0
		return nil
	case len(a.messages) > 0 && status == statusEnd && a.follows(previous):
		a.last, a.left = previous, left
		return nil
	}
	return fmt.Errorf("%w: %s %s", errNotAll, status, h.Get("Description"))
}
