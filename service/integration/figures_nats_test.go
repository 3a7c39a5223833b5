//go:build integration

package integration

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// TestKillNATS: three graceful restarts and three kill -9 of NATS and an
// absence of five seconds cost delay; because of NATS alone nothing is paid
// for twice.
func TestKillNATS(t *testing.T) {
	t.Parallel()
	for _, s := range []struct{ replicas, nodes int }{{1, 1}, {3, 1}, {3, 3}} {
		t.Run(fmt.Sprintf("replicas=%d,servers=%d", s.replicas, s.nodes), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, shape{replicas: s.replicas, nodes: s.nodes, env: map[string]string{"ACK_WAIT": "30s", "WORKER_CONCURRENCY": "50"}})
			questions := askMany(1000)
			for i := 0; i < len(questions); i += 20 { // some calls last longer than NATS is away
				questions[i] = ask(i, 6*time.Second)
			}
			w.run()
			published := make(chan error, 1)
			go func() { published <- w.publish(t.Context(), bodies(questions), 28*time.Second) }()
			begin := time.Now()
			for i, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM, 0, syscall.SIGKILL, syscall.SIGTERM} {
				w.must(pause(t.Context(), 3*time.Second))
				if signal == 0 {
					w.must(w.away(t.Context(), syscall.SIGKILL, 5*time.Second))
					continue
				}
				n := w.nodes[i%len(w.nodes)]
				n.end(signal)
				w.must(n.start())
			}
			w.must(<-published)
			w.settled(3*time.Minute, len(questions))
			w.leave()
			results := w.checkStreams(questions)
			w.checkCalls(excuses{})
			t.Logf("1,000 requests, AckWait 30 s, %d replicas, %d NATS servers, three graceful restarts, three kill -9, one absence of 5 s: %d results, %d calls; last result %s after the start",
				s.replicas, s.nodes, len(results), w.upstream.Count(), lastResult(results).Sub(begin).Round(time.Millisecond))
			atMost(t, "calls", w.upstream.Count(), len(questions))
		})
	}
}

// away takes every NATS server away for a time.
func (w *world) away(ctx context.Context, how syscall.Signal, d time.Duration) error {
	for _, n := range w.nodes {
		n.end(how)
	}
	err := pause(ctx, d)
	for _, n := range w.nodes {
		if started := n.start(); started != nil {
			err = started
		}
	}
	return err
}
