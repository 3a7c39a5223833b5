package bus

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
)

// restMax bounds how long a queue is not asked after failures.
const restMax = 15 * time.Second

// failing is called with why a pull failed. Until the queue answers again it is not
// asked in turn: whoever waits for it in vain would hold up the other queue.
// There is one log line, at the second failure in a row.
func (in *intake) failing(intake context.Context, q *queue, err error) {
	if intake.Err() != nil {
		return
	}
	q.failed++
	in.unreadable(intake, q, err)
	q.resting.Store(true)
	in.reviving.Go(func() {
		in.revive(intake, q)
		q.resting.Store(false)
		select {
		case in.revived <- struct{}{}:
		default: // whoever waits is told already
		}
	})
}

// revive waits until a queue answers, and looks for its consumer anew, which may
// have been deleted. It needs no slot, for it asks for no message. A queue that
// answers and whose pulls fail all the same rests longer each time.
func (in *intake) revive(intake context.Context, q *queue) {
	rest := min(idlePull<<min(q.failed-1, 10), restMax)
	for sleep(intake, rest) {
		if in.sources.isGone(q) {
			return
		}
		rest = idlePull
		if !in.conn.IsConnected() {
			continue
		}
		one, cancel := context.WithTimeout(intake, requestTimeout)
		if _, err := q.bind(one); err != nil {
			in.log.DebugContext(intake, "the consumer was not found", "stream", q.stream, "error", err)
		}
		cancel()
		err := q.probe(intake, in.conn.Conn)
		if err == nil {
			in.answered(consumerInfo(q.stream), nil)
			return
		}
		if intake.Err() == nil && in.conn.IsConnected() {
			q.unanswered++
			in.unreadable(intake, q, err)
		}
	}
}

// unreadable says once that a queue cannot be read.
func (in *intake) unreadable(intake context.Context, q *queue, err error) {
	if q.failed+q.unanswered > 1 && q.broken.CompareAndSwap(false, true) {
		in.log.WarnContext(intake, "the queue cannot be read, trying until it can", "stream", q.stream, "error", err)
	}
}

// readable says that a pull has succeeded.
func (in *intake) readable(ctx context.Context, q *queue) {
	q.failed, q.unanswered = 0, 0
	if in.conn.IsConnected() && q.broken.CompareAndSwap(true, false) {
		in.log.InfoContext(ctx, "the queue can be read again", "stream", q.stream)
	}
}

// probe asks a queue's consumer whether it is there, by a pull of one byte, into
// which no message fits. The error is why the consumer does not answer.
func (q *queue) probe(ctx context.Context, nc *nats.Conn) error {
	body, err := json.Marshal(map[string]any{"batch": 1, "no_wait": true, "max_bytes": 1})
	if err != nil {
		return err
	}
	one, cancel := context.WithTimeout(ctx, pullGrace)
	defer cancel()
	m, err := nc.RequestWithContext(one, q.next, body)
	if err != nil {
		return err
	}
	if m.Reply != "" { // a message all the same
		return pulled{m, nc}.nak(0)
	}
	_, err = pullStatus(m.Header, 1)
	return err
}
