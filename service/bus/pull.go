package bus

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// pullGrace is how much longer than the server we wait for the end of a pull.
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
func (q *queue) pull(in *inbox, n int, take func(pulled)) error {
	q.cut = false
	p, err := in.begin(n, func(m *nats.Msg) { take(pulled{m, in.nc}) })
	if err != nil {
		return err
	}
	wait := q.wait
	if q.hurry {
		wait = 0
	}
	if err = in.nc.PublishRequest(q.next, p.to, pullFor(n, wait, cmp.Or(q.most, max(pullBytes, largest(in.nc))))); err == nil {
		err = in.wait(p, q.wait+pullGrace)
	}
	cut, failed := in.end(p)
	q.cut = cut
	return cmp.Or(failed, err)
}

// pullFor is the request for up to n messages, of so many bytes in all, that waits for
// them; at once if wait is 0.
func pullFor(n int, wait time.Duration, bytes int64) []byte {
	if wait == 0 {
		return fmt.Appendf(nil, `{"batch":%d,"no_wait":true,"max_bytes":%d}`, n, bytes)
	}
	return fmt.Appendf(nil, `{"batch":%d,"expires":%d,"max_bytes":%d}`, n, wait.Nanoseconds(), bytes)
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

func (m pulled) ack() error { return m.nc.Publish(m.Reply, []byte("+ACK")) }
