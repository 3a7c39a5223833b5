package bus

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// release deletes a claim, now or as soon as NATS answers. Another message in
// its place at the first try means that another worker took it over, even if that
// one has released it again. A nil claim is none.
func (h *heartbeat) release(ctx context.Context, c *claim) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	switch err := h.tryRelease(ctx, c.subject, c.sequence); {
	case errors.Is(err, errConflict):
		h.lost(c.subject)
	case err != nil:
		h.mu.Lock()
		defer h.mu.Unlock()
		h.pending[c.subject] = c.sequence
	}
}

func (h *heartbeat) tryRelease(ctx context.Context, subject string, sequence uint64) error {
	_, err := h.streams.putOnce(ctx, func() *nats.Msg { return &nats.Msg{Subject: subject} }, jetstream.WithMsgTTL(releasedTTL), jetstream.WithExpectLastSequencePerSubject(sequence))
	return err
}

// releases repeats pending releases beside the heartbeat, which they must not hold
// up: after an absence of NATS there may be one for each slot.
type releases struct {
	running atomic.Bool
	wait    sync.WaitGroup
}

// start begins, if there is something to do and nobody does it yet. ctx ends it.
func (r *releases) start(ctx context.Context, h *heartbeat) {
	h.mu.Lock()
	n := len(h.pending)
	h.mu.Unlock()
	if n == 0 || !r.running.CompareAndSwap(false, true) {
		return
	}
	r.wait.Go(func() {
		defer r.running.Store(false)
		h.releasePending(ctx)
	})
}

// end waits for its end.
func (r *releases) end() { r.wait.Wait() }

// releasePending repeats the pending releases until ctx ends.
func (h *heartbeat) releasePending(ctx context.Context) {
	h.mu.Lock()
	pending := h.pending
	h.pending = map[string]uint64{}
	h.mu.Unlock()
	for subject, sequence := range pending {
		if ctx.Err() == nil && h.retryRelease(ctx, subject, sequence) {
			continue
		}
		h.mu.Lock()
		if _, newer := h.pending[subject]; !newer {
			h.pending[subject] = sequence
		}
		h.mu.Unlock()
	}
}

// retryRelease returns whether nothing is left to do. A conflict may be our own
// first try, whose acknowledgement was lost, so it counts only where another's
// claim stands.
func (h *heartbeat) retryRelease(ctx context.Context, subject string, sequence uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := h.tryRelease(ctx, subject, sequence)
	if !errors.Is(err, errConflict) {
		return err == nil
	}
	m, err := h.streams.last(ctx, h.streams.claims, subject)
	if owner, ok := parseHeld(m); err == nil && ok && owner.Instance != h.instance {
		h.lost(subject)
	}
	return true
}
