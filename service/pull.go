package service

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// pullGrace is how much longer than the server we wait for the end of a pull.
const pullGrace = time.Second

// pullBytes bounds what one pull brings: nats-server cuts off a client for which
// it has to hold more than 64 MiB (max_pending), and a hundred large prompts at
// once are more.
const pullBytes = 32 << 20

// pull asks a consumer for up to n messages and hands each on as it comes. It
// is our own because nats.go takes a message without a body for a status of
// the server when it carries a Status header, which any requester can write:
// such a message would be dropped unseen, again and again, and each time end
// the pull for those behind it. What a consumer delivers has a reply subject,
// and what the server says of the pull has none. The error is why the pull
// failed, nil if it ended for want of messages.
func (q *queue) pull(nc *nats.Conn, n int, take func(pulled)) error {
	arrived := make(chan *nats.Msg, n+1) // and the server's last word; NextMsg would judge by the Status header again
	inbox, err := nc.ChanSubscribe(nc.NewInbox(), arrived)
	if err != nil {
		return err
	}
	defer inbox.Unsubscribe() //nolint:errcheck // it fails on a closed connection only
	body, err := json.Marshal(map[string]any{
		"batch": n, "expires": q.wait, "no_wait": q.wait == 0,
		"max_bytes": max(pullBytes, nc.MaxPayload()+1<<20), // any message fits, its headers included
	})
	if err != nil {
		return err
	}
	if err := nc.PublishRequest(q.next, inbox.Subject, body); err != nil {
		return err
	}
	limit := time.NewTimer(q.wait + pullGrace)
	defer limit.Stop()
	for range n {
		select {
		case m := <-arrived:
			if m.Reply == "" {
				return pullStatus(m.Header)
			}
			take(pulled{m, nc})
			limit.Reset(q.wait + pullGrace) // large messages take their time
		case <-limit.C: // the server ends every pull with a word of its own
			return fmt.Errorf("no answer within %s: the consumer is changing its leader, or this NATS user may not publish to %s", q.wait+pullGrace, q.next)
		}
	}
	return nil
}

// pullStatus reads how the server ended a pull.
func pullStatus(h nats.Header) error {
	switch status := h.Get("Status"); status {
	case "404", "408": // no messages; time is up
		return nil
	case "409":
		if h.Get("Description") == "Message Size Exceeds MaxBytes" { // the next message belongs to the next pull
			return nil
		}
	case "503":
		return nats.ErrNoResponders
	}
	return fmt.Errorf("nats: pull ended: %s %s", h.Get("Status"), h.Get("Description"))
}

// pulled is a delivered message and the ways to settle it (the protocol of
// JetStream's acknowledgements).
type pulled struct {
	*nats.Msg
	nc *nats.Conn
}

func (m pulled) inProgress() error { return m.nc.Publish(m.Reply, []byte("+WPI")) }

func (m pulled) nak(after time.Duration) error {
	if after <= 0 {
		return m.nc.Publish(m.Reply, []byte("-NAK"))
	}
	return m.nc.Publish(m.Reply, fmt.Appendf(nil, `-NAK {"delay": %d}`, after.Nanoseconds()))
}

// ack waits for the server's word.
func (m pulled) ack(ctx context.Context) error {
	_, err := m.nc.RequestWithContext(ctx, m.Reply, []byte("+ACK"))
	return err
}
