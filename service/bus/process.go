package bus

import (
	"context"
	"fmt"
	"runtime/debug"

	"gemini-client/events"
)

// process works on a message, which keepAlive keeps alive. The handler turns a panic in a
// request into a result, so what panics here is another one.
func (in *intake) process(work context.Context, s *slot, d *Delivery) {
	defer in.freed(s)
	defer in.memory.release(s)
	defer in.forget(s)
	defer s.end()
	if panicked := in.guard(work, d, func() { in.handlers.Deliver(work, d) }); !s.isSettled() {
		in.guard(work, d, func() { in.leave(work, s, d, panicked) })
	}
}

// freed gives back a slot.
func (in *intake) freed(s *slot) {
	s.queue.inFlight.Add(-1)
	in.sources.end(s)
	in.give(1)
	if in.sharing.Load() {
		signal(in.news)
	}
}

// panicsMost is how often a message may be delivered that makes the service panic
// before it is claimed, where nothing counts its starts.
const panicsMost = 10

// leave ends a delivery that nobody settled: it comes again, and a panic counts as a
// start of a crash loop. If there is no claim to count it in, and it came often
// enough, it is kept as a dead letter.
func (in *intake) leave(work context.Context, s *slot, d *Delivery, panicked bool) {
	if panicked && d.claim == nil && d.Deliveries > panicsMost {
		if _, err := in.settle(work, d, End{DeadLetter: &DeadLetter{Code: events.Internal, Reason: "it makes the service panic"}}); err == nil {
			return
		}
	}
	_, _ = in.settle(work, d, End{Nack: true, After: s.queue.ackWait, Crashed: panicked}) // a nack has no error
}

// guard runs something and returns whether it panicked, which the log says.
func (in *intake) guard(work context.Context, d *Delivery, do func()) (panicked bool) {
	defer func() {
		if p := recover(); p != nil {
			panicked = true
			in.log.ErrorContext(work, "a delivery made the service panic", "panic", fmt.Sprintf("%T", p), "stream", d.Stream, "sequence", d.Sequence, "stack", string(debug.Stack()))
		}
	}()
	do()
	return false
}
