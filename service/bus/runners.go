package bus

import "sync"

// runners are the goroutines that work on messages, one for each message at a time. One
// that has ended its work is kept for the next message: a new goroutine begins with a
// small stack, and the copies of it that a request makes it grow through took 8 % of the
// worker's CPU.
type runners struct {
	work    chan func() // to one that is idle; nil ends it
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

func newRunners() *runners { return &runners{work: make(chan func())} }

// run has work done. It does not wait for it.
func (r *runners) run(work func()) {
	select {
	case r.work <- work:
	default:
		r.running.Go(func() {
			for ; work != nil; work = <-r.work {
				work()
			}
		})
	}
}

// trim ends those that are idle, and their stacks.
func (r *runners) trim() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed {
		select {
		case r.work <- nil:
		default:
			return
		}
	}
}

// close waits until all work is done. Nothing may be run afterwards.
func (r *runners) close() {
	r.mu.Lock()
	r.closed = true
	close(r.work)
	r.mu.Unlock()
	r.running.Wait()
}
