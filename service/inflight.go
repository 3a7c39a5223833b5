package service

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// inFlight is the registry of requests that this process works on. It catches
// what claims cannot see: a request that NATS delivers again at once, after it
// was killed, while this very process still answers it. It is ordered by id, since
// a cancellation names no callback, and nearly every one that comes is of a request
// that is not here.
type inFlight struct {
	mu    sync.Mutex
	calls map[string]map[string]context.CancelCauseFunc // by id and callback
	ended error                                         // set by interrupt
}

func newInFlight() *inFlight {
	return &inFlight{calls: map[string]map[string]context.CancelCauseFunc{}}
}

// enter registers a request. It returns false if it is registered already;
// else leave must be called when the work is done. cancel is called when the
// request is cancelled or the process must stop.
func (f *inFlight) enter(callback, id string, cancel context.CancelCauseFunc) (leave func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls[id]
	if calls[callback] != nil {
		return func() {}, false
	}
	if calls == nil {
		calls = make(map[string]context.CancelCauseFunc, 1)
		f.calls[id] = calls
	}
	calls[callback] = cancel
	if f.ended != nil {
		cancel(f.ended)
	}
	return func() { f.leave(callback, id) }, true
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
	return f.calls[id][callback] != nil
}

// ids are the requests that this process works on.
func (f *inFlight) ids() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.calls))
}

// cancel ends the work for a request, on whatever callback.
func (f *inFlight) cancel(id string, cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, cancel := range f.calls[id] {
		cancel(cause)
	}
}

// interrupt ends all work, and whatever enters afterwards.
func (f *inFlight) interrupt(cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = cause
	for _, calls := range f.calls {
		for _, cancel := range calls {
			cancel(cause)
		}
	}
}
