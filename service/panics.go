package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"gemini-client/events"
	"gemini-client/service/bus"
)

// A panic is one request's failure, wherever it happens: in decoding and in the call
// it is answered as such. In storing it is answered with a smaller result, and if
// that panics too the start counts as one of a crash loop, which ends.

// panicMessage is what a requester is told.
const panicMessage = "The service failed on this request; its operators have the details."

// errPanicked is a panic while something was stored.
var errPanicked = errors.New("the service panicked")

// guard runs something and returns whether it panicked, which the log says.
func (h *handler) guard(ctx context.Context, do func()) (panicked bool) {
	defer func() {
		if p := recover(); p != nil {
			panicked = true
			h.tel.Logger.ErrorContext(ctx, "a request made the service panic", "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		}
	}()
	do()
	return false
}

// read decodes a delivery. One that makes that panic is answered by what names it
// alone, and is kept as a dead letter if even that cannot be read.
func (h *handler) read(ctx context.Context, d *bus.Delivery) *job {
	j := &job{delivery: d}
	rules := h.rulesOf(d)
	defer func() { j.request.Tenant, j.request.Lane = d.Tenant, d.Lane }()
	if !h.guard(ctx, func() { j.request, j.broken = h.decode(rules, d.Body, d.Taken) }) {
		return j
	}
	var named struct {
		ID       json.RawMessage `json:"request_id"`
		Callback json.RawMessage `json:"callback_queue,omitempty"`
	}
	panicked := h.guard(ctx, func() {
		_ = json.Unmarshal(d.Body, &named)
		body, _ := json.Marshal(named) // of what was just read
		j.request, j.broken = h.decode(rules, body, d.Taken)
	})
	if panicked || errors.Is(j.broken, events.ErrNoID) {
		j.request, j.broken = events.Request{}, fmt.Errorf("%w: it makes the service panic", events.ErrNoID)
		return j
	}
	j.broken = events.Failure{Code: events.Internal, Message: panicMessage}
	return j
}

// rulesOf returns the rules for a delivery. Those of a tenant of which nothing is declared
// are the service's.
func (h *handler) rulesOf(d *bus.Delivery) events.Rules {
	if h.tenants == nil || !h.tenants.Any() {
		return h.rules
	}
	return h.rules.Of(d.Tenant, d.Isolated, h.tenants.Of(d.Tenant).Models)
}

// settle stores the end of a verdict. The error is errPanicked, or Settle's.
func (h *handler) settle(ctx context.Context, d *bus.Delivery, end func() bus.End) (settled bus.Settled, err error) {
	if h.guard(ctx, func() { settled, err = h.bus.Settle(ctx, d, end()) }) {
		return bus.Settled{}, errPanicked
	}
	return settled, err
}

// cannotStore is what becomes of a request whose verdict cannot be stored without a
// panic. It comes again, as a start that did not settle, until its crash loop has
// ended; then it is kept as a dead letter alone, so that it ends.
func (h *handler) cannotStore(ctx context.Context, j *job, exhausted bool) *report {
	r := &report{outcome: Nacked, after: crashLoopLeast + busyDelay, crashed: true, code: events.Internal, text: "a verdict could not be stored: that made the service panic"}
	if !exhausted && j.starts <= crashLoopStarts+h.maxCrashLoops {
		return r
	}
	settled, err := h.settle(ctx, j.delivery, func() bus.End {
		return bus.End{DeadLetter: &bus.DeadLetter{Code: events.Internal, Reason: r.text}}
	})
	if err != nil {
		return r
	}
	h.countDeadLetter(ctx, events.Internal, settled)
	return &report{outcome: Failed, code: events.Internal, text: r.text, note: "kept as a dead letter"}
}

// decoder is events.Rules.Decode.
type decoder func(rules events.Rules, body []byte, now time.Time) (events.Request, error)
