package service

import (
	"context"
	"sync"

	"gemini-client/service/bus"
)

// inFlight is the registry of requests that this process works on. It catches
// what claims cannot see: a request that NATS delivers again at once, after it
// was killed, while this very process still answers it. It is ordered by id, since
// a cancellation names no callback, and nearly every one that comes is of a request
// that is not here.
type inFlight struct {
	mu    sync.Mutex
	calls map[string]map[string]call // by id and callback
	ended error                      // set by interrupt
}

// call is the work on a request, for one of its messages.
type call struct {
	delivery *bus.Delivery
	cancel   context.CancelCauseFunc
}

func newInFlight() *inFlight {
	return &inFlight{calls: map[string]map[string]call{}}
}

// enter registers a request. If it is registered already, it returns the delivery that
// it is worked on for; else nil, and leave must be called when the work is done. The
// call's cancel is called when the request is cancelled or the process must stop.
func (f *inFlight) enter(callback, id string, c call) (leave func(), other *bus.Delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls[id]
	if there, ok := calls[callback]; ok {
		return func() {}, there.delivery
	}
	if calls == nil {
		calls = make(map[string]call, 1)
		f.calls[id] = calls
	}
	calls[callback] = c
	if f.ended != nil {
		c.cancel(f.ended)
	}
	return func() { f.leave(callback, id) }, nil
}

func (f *inFlight) leave(callback, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.calls[id], callback)
	if len(f.calls[id]) == 0 {
		delete(f.calls, id)
	}
}

// has reports whether this process works on a request.
func (f *inFlight) has(callback, id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.calls[id][callback]
	return ok
}

// all are the requests that this process works on, as a cancellation names them.
func (f *inFlight) all() []cancellation {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]cancellation, 0, len(f.calls))
	for id, calls := range f.calls {
		for _, c := range calls {
			all = append(all, cancellation{c.delivery.Scope(), id})
		}
	}
	return all
}

// cancel ends the work for a request, on whatever callback that is its tenant's.
func (f *inFlight) cancel(one cancellation, cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls[one.id] {
		if c.delivery.Scope() == one.tenant {
			c.cancel(cause)
		}
	}
}

// interrupt ends all work, and whatever enters afterwards.
func (f *inFlight) interrupt(cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = cause
	for _, calls := range f.calls {
		for _, c := range calls {
			c.cancel(cause)
		}
	}
}
