//go:build integration

package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gemini-client/service/servicetest"
)

// replica is a place where the service runs. Like an orchestrator it starts
// the process again if that ends by itself, but it also notes it.
type replica struct {
	name    string
	key     string // its own, so that the upstream knows who calls
	program string
	env     []string
	network []*servicetest.Forwarder // to each NATS server
	output  journal

	mu      sync.Mutex
	current *process
	started time.Time // the current process
	closed  bool
	kills   []span
	faults  []string // what the process did that it must not do
	wg      sync.WaitGroup
}

// span is a stretch of time.
type span struct{ from, to time.Time }

func (s span) overlaps(from, to time.Time) bool { return s.from.Before(to) && from.Before(s.to) }

// start starts the process unless it runs.
func (r *replica) start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.current != nil && !r.current.ended() {
		return nil
	}
	p, err := spawn(&r.output, r.env, program(r.program), "serve")
	if err != nil {
		return err
	}
	r.current, r.started = p, time.Now()
	r.wg.Go(func() { r.watch(ctx, p) })
	return nil
}

// watch restarts a process that ended by itself.
func (r *replica) watch(ctx context.Context, p *process) {
	<-p.done
	if p.expected.Load() {
		return
	}
	r.mu.Lock()
	r.faults = append(r.faults, fmt.Sprintf("%s ended by itself with exit code %d", r.name, p.exit()))
	r.kills = append(r.kills, span{time.Now().Add(-time.Second), time.Now()})
	r.mu.Unlock()
	if pause(ctx, 500*time.Millisecond) == nil {
		_ = r.start(ctx)
	}
}

// up reports whether the process answers requests. Before that, SIGTERM may
// find it in its very first moments, and kill it.
func (r *replica) up() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	answering := r.output.find("answering requests")
	return len(answering) > 0 && answering[len(answering)-1].at.After(r.started)
}

func (r *replica) process() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}

// kill is kill -9. It returns when the process is gone.
func (r *replica) kill() {
	p := r.process()
	if p == nil {
		return
	}
	from := time.Now()
	p.kill()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kills = append(r.kills, span{from, time.Now()})
}

// killed returns when the process was killed.
func (r *replica) killed() []span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.kills)
}

// stop is SIGTERM. It returns the exit code.
func (r *replica) stop() int {
	p := r.process()
	p.signal(syscall.SIGTERM)
	return p.exit()
}

// cut takes the replica's network to NATS away for a time: its connections end, or
// with freeze what is sent is held back and nobody is told.
func (r *replica) cut(ctx context.Context, d time.Duration, freeze bool) error {
	for _, f := range r.network {
		if freeze {
			f.Freeze()
		} else {
			f.Cut()
		}
	}
	err := pause(ctx, d)
	for _, f := range r.network {
		f.Heal()
	}
	return err
}

func (r *replica) close() {
	r.mu.Lock()
	r.closed = true
	p := r.current
	r.mu.Unlock()
	if p != nil {
		p.kill()
	}
	r.wg.Wait()
}

// check reports what the process must not do: end by itself, race, panic.
func (r *replica) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	faults := slices.Clone(r.faults)
	r.mu.Unlock()
	for _, fault := range faults {
		t.Error(fault)
	}
	for _, text := range []string{"DATA RACE", "panic", "level=ERROR", "SIGQUIT: quit"} { // the last after a stop that took too long
		for _, line := range r.output.find(text) {
			if !strings.Contains(line.text, "request_id") || text != "panic" {
				t.Errorf("%s: %s", r.name, line.text)
			}
		}
	}
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
