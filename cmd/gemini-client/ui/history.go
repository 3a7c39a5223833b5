package ui

import (
	"sync"
	"time"
)

// kept is how many samples are kept: an hour of them, at one in five seconds.
const kept = 720

// sample is what is kept of an overview.
type sample struct {
	at     time.Time
	queues map[string]Queue
}

// history is the newest overview, and the queues of those before.
type history struct {
	mu      sync.Mutex
	latest  Overview
	samples []sample
	err     error         // of the last look, nil if it worked
	next    chan struct{} // closed when there is something new
	closed  bool
}

func newHistory() *history { return &history{next: make(chan struct{})} }

func (h *history) add(o Overview) {
	h.mu.Lock()
	defer h.mu.Unlock()
	queues := make(map[string]Queue, len(o.Queues))
	for _, q := range o.Queues {
		queues[q.Name] = q
	}
	h.latest, h.err = o, nil
	h.samples = append(h.samples, sample{o.At, queues})
	if more := len(h.samples) - kept; more > 0 {
		h.samples = append(h.samples[:0:0], h.samples[more:]...)
	}
	h.changed()
}

func (h *history) failed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
	h.changed()
}

// close has those who wait go on for the last time.
func (h *history) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.next)
	}
}

// changed is called with the lock held.
func (h *history) changed() {
	if h.closed {
		return
	}
	close(h.next)
	h.next = make(chan struct{})
}

// view is what the overview page shows.
type view struct {
	Overview
	Err    string // the last look failed
	Charts []chart
}

// now returns the newest state, and a channel that is closed when there is a newer
// one; over is true when there will be none.
func (h *history) now() (v view, next <-chan struct{}, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v.Overview = h.latest
	if h.err != nil {
		v.Err = h.err.Error()
	}
	for _, q := range h.latest.Queues {
		v.Charts = append(v.Charts, newChart(q.Name, h.samples))
	}
	return v, h.next, h.closed
}
