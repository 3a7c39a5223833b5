//go:build integration

package integration

import (
	"sync"
	"testing"
	"time"

	"gemini-client/service/openrouter/simulator"
)

// TestEdgePageInTheMiddle: an edge before OpenRouter answers with an error page for
// ten seconds, in the middle of 500 requests. It is an outage: the breaker opens,
// and every request is completed afterwards.
func TestEdgePageInTheMiddle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{
		replicas: 2,
		env:      map[string]string{"WORKER_CONCURRENCY": "20", "QUEUE_RETRY_DELAYS": "1,2", "QUEUE_MAX_RETRIES": "4"},
		upstream: simulator.Config{Latency: 20 * time.Millisecond},
	})
	var questions []question
	for i := range 500 {
		questions = append(questions, ask(i, 20*time.Millisecond))
	}
	w.run()
	var publishing sync.WaitGroup
	defer publishing.Wait()
	var published error
	publishing.Go(func() { published = w.publish(t.Context(), bodies(questions), 15*time.Second) })
	w.called("a call in the middle", func(s simulator.Stats) bool { return s.Started >= 150 })
	w.upstream.SetFault(simulator.Fault{Name: "status", Params: map[string]string{"code": "403", "body": "html"}})
	w.must(pause(t.Context(), 10*time.Second))
	w.upstream.ClearFaults()
	over := time.Now()
	publishing.Wait()
	w.must(published)
	w.settled(2*time.Minute, len(questions))
	w.leave()
	results := w.checkStreams(questions)
	w.checkCalls(excuses{})
	refused := 0
	for _, c := range w.upstream.Calls() {
		if c.Status == 403 {
			refused++
		}
	}
	t.Logf("500 requests, an edge's 403 page for 10 s: %d calls met it, %d results, the last %s after it", refused, len(results), lastResult(results).Sub(over).Round(time.Millisecond))
	if refused == 0 {
		t.Error("no call met the page")
	}
	if n := w.backend.State(w.backend.Names.DeadlettersStream()).Msgs; n != 0 {
		t.Errorf("%d dead letters, want none", n)
	}
	// Each of two breakers opens when half of its calls of the last 30 s failed, of
	// which 75 had not; what was in flight and the probes come on top.
	atMost(t, "calls that met the page", refused, 2*(75+20+10))
}
