package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// pullGrace is how much longer than the server we wait for the end of a pull.
// What a busy server delivers to a pull that we gave up is lost until its ack
// wait is over.
const pullGrace = 4 * time.Second

// pullBytes bounds what one pull brings, beside the memory that is left: nats-server
// cuts off a client for which it has to hold more than 64 MiB (max_pending), and a
// hundred large prompts at once are more.
const pullBytes = 32 << 20

// largest is how many bytes any message fits into, its headers included.
func largest(nc *nats.Conn) int64 { return nc.MaxPayload() + 1<<20 }

// pull asks a consumer for up to n messages, of q.most bytes in all, and hands each
// on as it comes. nats.go's own would drop a message without a body for its Status
// header, which any requester can write; here a status is what has no reply subject.
// The error is why the pull failed, nil if it ended for want of messages, or because
// the next one is larger than what is left of the bytes (q.cut).
func (q *queue) pull(nc *nats.Conn, n int, take func(pulled)) error {
	arrived := make(chan *nats.Msg, n+2) // and the server's last words; NextMsg would judge by the Status header again
	inbox, err := nc.ChanSubscribe(nc.NewInbox(), arrived)
	if err != nil {
		return err
	}
	defer inbox.Unsubscribe() //nolint:errcheck // it fails on a closed connection only
	wait := q.wait
	if q.hurry {
		wait = 0
	}
	body, err := json.Marshal(map[string]any{
		"batch": n, "expires": wait, "no_wait": wait == 0,
		"max_bytes": cmp.Or(q.most, max(pullBytes, largest(nc))),
	})
	if err != nil {
		return err
	}
	if err := nc.PublishRequest(q.next, inbox.Subject, body); err != nil {
		return err
	}
	return q.collect(arrived, n, func(m *nats.Msg) { take(pulled{m, nc}) })
}

// collect hands on what a pull for n messages brings, until all are there or
// the server has ended it and what it had delivered by then is there as well.
func (q *queue) collect(arrived <-chan *nats.Msg, n int, take func(*nats.Msg)) error {
	limit := time.NewTimer(q.wait + pullGrace)
	defer limit.Stop()
	ended := false
	q.cut = false
	for left := n; left > 0; {
		var m *nats.Msg
		select {
		case m = <-arrived:
		case <-limit.C: // the server ends every pull with a word of its own
			if ended {
				return nil
			}
			return fmt.Errorf("no answer within %s: the consumer is changing its leader, or this NATS user may not publish to %s", q.wait+pullGrace, q.next)
		}
		if m.Reply != "" {
			take(m)
			left--
			limit.Reset(q.wait + pullGrace) // large messages take their time
			continue
		}
		unused, err := pullStatus(m.Header, left)
		if err != nil {
			return err
		}
		q.cut = m.Header.Get("Description") == tooManyBytes
		ended, left = true, left-unused
	}
	return nil
}

// tooManyBytes is how the server ends a pull whose next message is larger than what
// is left of its bytes.
const tooManyBytes = "Message Size Exceeds MaxBytes"

// pullStatus reads how the server ended a pull, and returns how many of its
// messages will not come (all that are left, where it does not say). With
// several copies of the stream that word overtakes messages, which are
// delivered only when a majority knows of it. The error is why the pull failed.
func pullStatus(h nats.Header, left int) (unused int, err error) {
	switch status, why := h.Get("Status"), h.Get("Description"); {
	case status == "503":
		return 0, nats.ErrNoResponders
	case status == "404", status == "408": // no messages; time is up
	case why == "Batch Completed", why == tooManyBytes: // 409: the next message belongs to the next pull
	default:
		return 0, fmt.Errorf("nats: pull ended: %s %s", status, why)
	}
	text := h.Get("Nats-Pending-Messages")
	if text == "" {
		return left, nil
	}
	unused, err = strconv.Atoi(text)
	return min(unused, left), err
}

// pulled is a delivered message and the ways to settle it (the protocol of
// JetStream's acknowledgements).
type pulled struct {
	*nats.Msg
	nc *nats.Conn
}

// lighten leaves of the message what settles it. The rest is its delivery's.
func (m pulled) lighten() { m.Data, m.Header = nil, nil }

func (m pulled) inProgress() error { return m.nc.Publish(m.Reply, []byte("+WPI")) }

func (m pulled) nak(after time.Duration) error {
	if after <= 0 {
		return m.nc.Publish(m.Reply, []byte("-NAK"))
	}
	return m.nc.Publish(m.Reply, fmt.Appendf(nil, `-NAK {"delay": %d}`, after.Nanoseconds()))
}

// ack waits for the server's confirmation.
func (m pulled) ack(ctx context.Context) error {
	_, err := m.nc.RequestWithContext(ctx, m.Reply, []byte("+ACK"))
	return err
}
