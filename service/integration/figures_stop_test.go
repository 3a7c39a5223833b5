//go:build integration

package integration

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"gemini-client/service/openrouter/simulator"
)

// stopping is a world with n calls in flight and half as many requests left.
func stopping(t *testing.T, n int, latency time.Duration, env map[string]string) (*world, []question) {
	t.Helper()
	env["WORKER_CONCURRENCY"] = fmt.Sprint(n)
	w := newWorld(t, shape{env: env})
	var questions []question
	for i := range n + n/2 {
		questions = append(questions, ask(i, latency))
	}
	w.must(w.publish(t.Context(), bodies(questions), 0))
	release := w.upstream.Hold() // so that none has its answer before all have called
	w.run()
	w.called(fmt.Sprintf("%d calls in flight", n), func(s simulator.Stats) bool { return s.Held == n })
	release()
	return w, questions
}

// succeed starts the successor and checks what it leaves behind.
func (w *world) succeed(questions []question, limit time.Duration) {
	w.t.Helper()
	w.must(w.replicas[0].start(w.t.Context()))
	w.settled(limit, len(questions))
	w.leave()
	w.checkStreams(questions)
}

// TestStopUnderLoad: SIGTERM lets a hundred calls finish.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	w, questions := stopping(t, 100, 2*time.Second, map[string]string{})
	begin := time.Now()
	code := w.replicas[0].stop()
	took := time.Since(begin)
	started, stored := w.upstream.Count(), w.results()
	w.succeed(questions, patience)
	w.checkCalls(excuses{})
	t.Logf("SIGTERM with 100 calls of 2 s in flight: exit code %d after %s, %d calls started, %d results stored; %d calls for %d requests after the successor",
		code, took.Round(time.Millisecond), started, stored, w.upstream.Count(), len(questions))
	if code != 0 || started != stored {
		t.Errorf("exit code %d, %d calls started, %d stored; want 0 and as many stored as started", code, started, stored)
	}
	atMost(t, "calls", w.upstream.Count(), len(questions))
}

// TestStopTwice: a second signal ends the process at once.
func TestStopTwice(t *testing.T) {
	t.Parallel()
	w, questions := stopping(t, 20, 10*time.Second, map[string]string{"ACK_WAIT": "10s"})
	p := w.replicas[0].process()
	p.signal(syscall.SIGTERM)
	w.until(patience, "the log reports the stop", func() (string, bool) {
		return "", len(w.replicas[0].output.find("stopping: no more requests are taken")) > 0
	})
	begin := time.Now()
	cut := w.upstream.InFlight()
	death := span{from: begin}
	p.signal(syscall.SIGTERM)
	code := p.exit()
	took := time.Since(begin)
	death.to = time.Now()
	w.succeed(questions, patience)
	again := w.checkCalls(excuses{deaths: []span{death}})
	t.Logf("a second SIGTERM with %d calls in flight: ended after %s (exit code %d, -1 is a signal); the successor made %d calls again", cut, took.Round(time.Millisecond), code, again)
	if code == 0 {
		t.Error("exit code 0, though calls were cut")
	}
	atMost(t, "time until the second signal works, not the calls' 10 s", took, 4*time.Second)
	atMost(t, "calls made again", again, cut)
}

// TestStopTooSlow: calls that outlast SHUTDOWN_TIMEOUT are cut and their
// requests nacked at once.
func TestStopTooSlow(t *testing.T) {
	t.Parallel()
	const ackWait = 30 * time.Second
	w, questions := stopping(t, 20, 6*time.Second, map[string]string{"SHUTDOWN_TIMEOUT": "1s", "ACK_WAIT": ackWait.String()})
	cut := w.upstream.InFlight()
	death := span{from: time.Now()}
	code := w.replicas[0].stop()
	death.to = time.Now()
	stored := w.results()
	begin := time.Now()
	w.succeed(questions, patience)
	again := w.checkCalls(excuses{deaths: []span{death}})
	took := lastResult(w.backend.Results()).Sub(begin)
	t.Logf("SHUTDOWN_TIMEOUT over with %d calls in flight: exit code %d after %s, %d results published for them; the successor made %d calls again and had answered everything %s after its start",
		cut, code, death.to.Sub(death.from).Round(time.Millisecond), stored, again, took.Round(time.Millisecond))
	if code != 1 {
		t.Errorf("exit code %d, want 1: calls were cut", code)
	}
	atMost(t, "results of cut calls", stored, 0)
	atMost(t, "calls made again", again, cut)
	atMost(t, "until everything is answered: two rounds of 6 s, not the ack wait", took, 20*time.Second)
}
