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

// rejoinTime is what every process needs to be back after all were cut off: to
// notice that its connection is dead, to connect (see options) and to renew its
// heartbeat.
const rejoinTime = 10 * time.Second

// heartbeat tells live processes from dead ones. Each keeps one message that
// expires when it is not renewed; all its claims hold as long as that is there. So
// a process with 20,000 calls in flight renews one message every third of the ack
// wait, and the server's clock alone decides.
//
// What cuts one process off NATS may have cut off others as well, and then their
// heartbeats are gone though they live. So a process that was cut off renews its own
// before it takes messages, and takes nobody for dead until rejoinTime later.
type heartbeat struct {
	streams  *streams
	instance string        // this process, new with every start
	ttl      time.Duration // the shortest ack wait of the consumers
	lost     func(subject string)
	resumed  func() // called after each gap, once the heartbeat is renewed; it must not block

	wake chan struct{} // somebody waits for a renewal

	failed int  // renewals in a row that a connected server did not store; of run
	silent bool // the log says that the heartbeat cannot be stored; of run

	mu      sync.Mutex
	renewed time.Time         // the renewal that was stored last began then
	on      uint64            // on this connection
	since   time.Time         // there was no gap from then on
	gaps    int               // so far
	news    chan struct{}     // closed by the next renewal that is stored
	pending map[string]uint64 // releases that NATS has not taken yet: claims by subject, with their sequence
}

// newHeartbeat returns that of an instance. lost is called with the subject of a
// claim that another process took over.
func newHeartbeat(s *streams, instance string, ttl time.Duration, lost func(subject string)) *heartbeat {
	return &heartbeat{
		streams: s, instance: instance, ttl: ttl, lost: lost, resumed: func() {},
		wake: make(chan struct{}, 1), news: make(chan struct{}), pending: map[string]uint64{},
	}
}

// start stores the first heartbeat, which has to come before the first claim. A
// NATS that had to be waited for was away for others too. One that is there may be
// just back: then nobody is taken for dead yet either, unless the lease is so short
// that this would hold up each restart. What a killed process leaves behind lasts for
// two thirds of its lease at least, so with a longer one a restart hardly notices.
// The error is ErrRefused or ctx's cause.
func (h *heartbeat) start(ctx context.Context) error {
	begun := time.Now()
	if err := h.streams.patiently(ctx, h.renew); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.streams.conn.waited && h.ttl <= rejoinTime && time.Since(begun) < time.Second {
		h.since = time.Time{}
	}
	return nil
}

// renew stores the heartbeat again.
func (h *heartbeat) renew(ctx context.Context) error {
	begun, on := time.Now(), h.connection()
	_, err := h.streams.putOnce(ctx, func() *nats.Msg {
		return &nats.Msg{Subject: h.streams.names.Instance(h.instance), Data: []byte(h.instance)}
	}, jetstream.WithMsgTTL(wholeTTL(h.ttl)))
	if err == nil && h.stored(begun, on) {
		h.resumed()
	}
	return err
}

// connection tells the connections of this process to NATS apart.
func (h *heartbeat) connection() uint64 { return h.streams.conn.Stats().Reconnects }

// stored notes a renewal and returns whether there was a gap before it: another
// connection, or so long a time that the heartbeats of others may have expired.
func (h *heartbeat) stored(begun time.Time, on uint64) (gap bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := h.renewed.IsZero()
	gap = !first && (on != h.on || begun.Sub(h.renewed) > h.ttl/2)
	if gap {
		h.gaps++
	}
	if gap || first {
		h.since = time.Now()
	}
	h.renewed, h.on = begun, on
	close(h.news)
	h.news = make(chan struct{})
	return gap
}

// beats reports whether the heartbeat was renewed on this connection, within a
// time. If not, news is closed by the next renewal.
func (h *heartbeat) beats(within time.Duration) (yes bool, news <-chan struct{}) {
	on := h.connection()
	h.mu.Lock()
	defer h.mu.Unlock()
	return on == h.on && !h.renewed.IsZero() && time.Since(h.renewed) < within, h.news
}

// assure returns when the heartbeat is stored, at once if it has not expired and
// the connection is the one that it was renewed on; false if ctx ends first. run
// renews it.
func (h *heartbeat) assure(ctx context.Context) bool {
	for {
		yes, news := h.beats(h.ttl)
		if yes {
			return true
		}
		signal(h.wake)
		select {
		case <-news:
		case <-ctx.Done():
			return false
		}
	}
}

// gap counts the gaps so far.
func (h *heartbeat) gap() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.gaps
}

// unbroken reports whether the heartbeat held since so many gaps were counted.
func (h *heartbeat) unbroken(gaps int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return gaps == h.gaps && (h.renewed.IsZero() || time.Since(h.renewed) < h.ttl)
}

// run renews the heartbeat every third of its TTL until ctx ends, and then
// withdraws it: the claims of this process are void at once. A renewal that fails
// is soon tried again.
func (h *heartbeat) run(ctx context.Context) {
	beat := time.NewTimer(h.ttl / 3)
	defer beat.Stop()
	var releasing releases
	defer h.stop(context.WithoutCancel(ctx))
	defer releasing.end()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		case <-h.wake:
		case <-h.streams.conn.reconnected:
		}
		begun := time.Now()
		if !h.beat(ctx) {
			beat.Reset(min(h.ttl/3, beatAgain))
			continue
		}
		releasing.start(ctx, h)
		beat.Reset(h.ttl/3 - time.Since(begun))
	}
}

// beatAgain is how soon a renewal that failed is tried again.
const beatAgain = 500 * time.Millisecond

// beat is one try to renew the heartbeat.
func (h *heartbeat) beat(ctx context.Context) bool {
	one, cancel := context.WithTimeout(ctx, min(requestTimeout, h.ttl/3))
	defer cancel()
	if err := h.renew(one); err != nil {
		h.notRenewed(ctx, err)
		return false
	}
	if h.silent {
		h.streams.log.InfoContext(ctx, "the heartbeat is stored again")
	}
	h.failed, h.silent = 0, false
	return true
}

// notRenewed says once that the heartbeat is gone and cannot be stored. One failure is
// no news, and neither is that there is no connection.
func (h *heartbeat) notRenewed(ctx context.Context, err error) {
	h.streams.log.DebugContext(ctx, "the heartbeat was not renewed", "error", err)
	if ctx.Err() != nil || !h.streams.conn.IsConnected() {
		return
	}
	h.failed++
	if h.failed > 1 && !h.silent && h.expired() {
		h.silent = true
		h.streams.log.WarnContext(ctx, "the heartbeat cannot be stored: no requests are taken until it can", "stream", h.streams.names.ClaimsStream(), "error", err)
	}
}

// expired reports whether the heartbeat has not been stored for as long as it lasts.
func (h *heartbeat) expired() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.renewed) >= h.ttl
}

// stop releases what is left and withdraws the heartbeat, whether or not there was
// time for the former.
func (h *heartbeat) stop(ctx context.Context) {
	half, cancel := context.WithTimeout(ctx, requestTimeout/2)
	h.releasePending(half)
	cancel()
	half, cancel = context.WithTimeout(ctx, requestTimeout/2)
	defer cancel()
	withdrawn := func() *nats.Msg { return &nats.Msg{Subject: h.streams.names.Instance(h.instance)} }
	if _, err := h.streams.putOnce(half, withdrawn, jetstream.WithMsgTTL(releasedTTL)); err != nil {
		h.streams.log.DebugContext(ctx, "the heartbeat was not withdrawn and will expire", "error", err)
	}
}

// life is what a process can say of another one.
type life int

const (
	gone      life = iota // its heartbeat has expired, or it is this process
	alive                 // its heartbeat is there
	uncertain             // it may have been cut off as this process was
)

// of returns whether another process lives. What this process knows of itself is
// asked after the answer has come, which a cut may have delayed.
func (h *heartbeat) of(ctx context.Context, instance string) (life, error) {
	if instance == h.instance || instance == "" || instance == crashed {
		return gone, nil
	}
	m, err := h.streams.last(ctx, h.streams.claims, h.streams.names.Instance(instance))
	switch {
	case err != nil:
		return uncertain, err
	case m != nil && len(m.Data) > 0:
		return alive, nil
	case m != nil: // it has withdrawn it
		return gone, nil
	}
	beats, _ := h.beats(h.ttl / 2)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !beats || time.Since(h.since) < rejoinTime {
		return uncertain, nil
	}
	return gone, nil
}

// wholeTTL is at least JetStream's least (1 s, ADR-43), in whole seconds.
func wholeTTL(ttl time.Duration) time.Duration {
	return max(time.Second, ttl.Round(time.Second))
}
