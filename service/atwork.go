package service

import (
	"context"
	"sync"
)

// atWork is the registry of requests at work in this process. It catches what
// claims cannot see: a request that NATS delivers again at once, after it was
// killed, while this very process still answers it.
type atWork struct {
	mu      sync.Mutex
	entries map[requestKey]*workEntry
	ended   error // set by interrupt
}

type requestKey struct{ callback, id string }

type workEntry struct {
	message string
	cancel  context.CancelCauseFunc
}

func newAtWork() *atWork { return &atWork{entries: map[requestKey]*workEntry{}} }

// enter registers a request. It returns false when another queue message with
// this request is at work; else leave must be called when the work is done.
// cancel is called when the request is cancelled or the process must stop.
func (w *atWork) enter(callback, id string, d delivery, cancel context.CancelCauseFunc) (leave func(), ok bool) {
	key := requestKey{callback, id}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.entries[key] != nil {
		return nil, false
	}
	w.entries[key] = &workEntry{message: d.message(), cancel: cancel}
	if w.ended != nil {
		cancel(w.ended)
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.entries, key)
	}, true
}

// cancel ends the work for a request, on whatever callback.
func (w *atWork) cancel(id string, cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, entry := range w.entries {
		if key.id == id {
			entry.cancel(cause)
		}
	}
}

// interrupt ends all work, and whatever enters afterwards.
func (w *atWork) interrupt(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = cause
	for _, entry := range w.entries {
		entry.cancel(cause)
	}
}
