package bus

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// withdrawnTTL is how long the empty message of a withdrawn heartbeat stays, so that
// readers of this moment see it.
const withdrawnTTL = time.Second

// rejoinTime is what every process needs to be back after all were cut off: to
// notice that its connection is dead, to connect (see options) and to renew its
// heartbeat.
const rejoinTime = 10 * time.Second

// claimsOutlast is a gap that the claims of calls under way surely outlast: they have
// a minute left at least, less what their renewal takes.
const claimsOutlast = 25 * time.Second

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
	resumed  func()        // called after each gap, once the heartbeat is renewed; it must not block

	wake chan struct{} // somebody waits for a renewal
	back chan struct{} // gets one after each gap

	failed int  // renewals in a row that a connected server did not store; of run
	silent bool // the log says that the heartbeat cannot be stored; of run

	mu      sync.Mutex
	renewed time.Time     // the renewal that was stored last began then
	on      uint64        // on this connection
	since   time.Time     // there was no gap from then on
	long    bool          // before that, claims may have expired whose calls go on
	gaps    int           // so far
	lapses  int           // gaps in which it expired
	news    chan struct{} // closed by the next renewal that is stored
}

// newHeartbeat returns that of an instance.
func newHeartbeat(s *streams, instance string, ttl time.Duration) *heartbeat {
	return &heartbeat{
		streams: s, instance: instance, ttl: ttl, resumed: func() {},
		wake: make(chan struct{}, 1), back: make(chan struct{}, 1), news: make(chan struct{}),
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
	}, withTTL(wholeTTL(h.ttl)))
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
	if !first && time.Since(h.renewed) >= min(h.ttl, wholeTTL(h.ttl)) {
		h.lapses++
	}
	if gap {
		h.gaps++
		signal(h.back)
	}
	if gap || first {
		h.since, h.long = time.Now(), first || begun.Sub(h.renewed) > claimsOutlast
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
	defer h.stop(context.WithoutCancel(ctx))
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

// stop withdraws the heartbeat.
func (h *heartbeat) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout/2)
	defer cancel()
	withdrawn := func() *nats.Msg { return &nats.Msg{Subject: h.streams.names.Instance(h.instance)} }
	if _, err := h.streams.putOnce(ctx, withdrawn, withTTL(withdrawnTTL)); err != nil {
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
	if instance == h.instance || instance == "" || (Holder{Instance: instance}).isMark() {
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

// doubts returns for how long it is not certain that what has no claim is claimed by
// nobody: those whose claims have expired in a gap store them again when they are back.
// After the start of a process that may be so for what was delivered before.
func (h *heartbeat) doubts(d *Delivery) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.long || h.gaps == 0 && d.Deliveries <= 1 {
		return 0
	}
	return max(0, rejoinTime-time.Since(h.since))
}

// wholeTTL is at least JetStream's least (1 s, ADR-43), in whole seconds.
func wholeTTL(ttl time.Duration) time.Duration {
	return max(time.Second, ttl.Round(time.Second))
}
