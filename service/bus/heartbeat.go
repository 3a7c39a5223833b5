package bus

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// releasedTTL is how long the empty message of a released claim stays, so that
// readers of this moment see it.
const releasedTTL = time.Second

// heartbeat tells live processes from dead ones. Each keeps one message that
// expires when it is not renewed; all its claims hold as long as that is there. So
// a process with 20,000 calls in flight renews one message every third of the ack
// wait, and the server's clock alone decides.
type heartbeat struct {
	streams  *streams
	instance string        // this process, new with every start
	ttl      time.Duration // the shortest ack wait of the consumers
	lost     func(subject string)

	mu      sync.Mutex
	pending map[string]uint64 // releases that NATS has not taken yet: claims by subject, with their sequence
}

// newHeartbeat returns that of an instance. lost is called with the subject of a
// claim that another process took over.
func newHeartbeat(s *streams, instance string, ttl time.Duration, lost func(subject string)) *heartbeat {
	return &heartbeat{streams: s, instance: instance, ttl: ttl, lost: lost, pending: map[string]uint64{}}
}

// start stores the first heartbeat, which has to come before the first claim. The
// error is ctx's cause.
func (h *heartbeat) start(ctx context.Context) error {
	return h.streams.patiently(ctx, h.renew)
}

func (h *heartbeat) renew(ctx context.Context) error {
	_, err := h.streams.putOnce(ctx, func() *nats.Msg {
		return &nats.Msg{Subject: h.streams.names.Instance(h.instance), Data: []byte(h.instance)}
	}, jetstream.WithMsgTTL(wholeTTL(h.ttl)))
	return err
}

// run renews the heartbeat every third of its TTL until ctx ends, and then
// withdraws it: the claims of this process are void at once. A renewal that fails
// is tried again with the next one.
func (h *heartbeat) run(ctx context.Context) {
	beat := time.NewTicker(h.ttl / 3)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			h.stop(context.WithoutCancel(ctx))
			return
		case <-beat.C:
			h.beat(ctx)
		}
	}
}

func (h *heartbeat) beat(ctx context.Context) {
	one, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := h.renew(one); err != nil {
		h.streams.log.DebugContext(ctx, "the heartbeat was not renewed", "error", err)
		return
	}
	h.releasePending(one)
}

func (h *heartbeat) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	h.releasePending(ctx)
	withdrawn := func() *nats.Msg { return &nats.Msg{Subject: h.streams.names.Instance(h.instance)} }
	if _, err := h.streams.putOnce(ctx, withdrawn, jetstream.WithMsgTTL(releasedTTL)); err != nil {
		h.streams.log.DebugContext(ctx, "the heartbeat was not withdrawn and will expire", "error", err)
	}
}

// elsewhere reports whether another process of this name is alive.
func (h *heartbeat) elsewhere(ctx context.Context, instance string) (bool, error) {
	if instance == h.instance || instance == "" {
		return false, nil
	}
	m, err := h.streams.last(ctx, h.streams.claims, h.streams.names.Instance(instance))
	return m != nil && len(m.Data) > 0, err
}

// wholeTTL is at least JetStream's least (1 s, ADR-43), in whole seconds.
func wholeTTL(ttl time.Duration) time.Duration {
	return max(time.Second, ttl.Round(time.Second))
}
