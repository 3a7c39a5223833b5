package service

import (
	"context"
	"sync"
)

// inFlight is the registry of requests that this process works on. It catches
// what claims cannot see: a request that NATS delivers again at once, after it
// was killed, while this very process still answers it.
type inFlight struct {
	mu      sync.Mutex
	cancels map[requestKey]context.CancelCauseFunc
	ended   error // set by interrupt
}

type requestKey struct{ callback, id string }

func newInFlight() *inFlight { return &inFlight{cancels: map[requestKey]context.CancelCauseFunc{}} }

// enter registers a request. It returns false if it is registered already;
// else leave must be called when the work is done. cancel is called when the
// request is cancelled or the process must stop.
func (f *inFlight) enter(callback, id string, cancel context.CancelCauseFunc) (leave func(), ok bool) {
	key := requestKey{callback, id}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cancels[key] != nil {
		return func() {}, false
	}
	f.cancels[key] = cancel
	if f.ended != nil {
		cancel(f.ended)
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.cancels, key)
	}, true
}

// has reports whether this process works on a request.
func (f *inFlight) has(callback, id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cancels[requestKey{callback, id}] != nil
}

// cancel ends the work for a request, on whatever callback.
func (f *inFlight) cancel(id string, cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, cancel := range f.cancels {
		if key.id == id {
			cancel(cause)
		}
	}
}

// interrupt ends all work, and whatever enters afterwards.
func (f *inFlight) interrupt(cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = cause
	for _, cancel := range f.cancels {
		cancel(cause)
	}
}
