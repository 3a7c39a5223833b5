//go:build integration

package integration

import (
	"fmt"
	"testing"
	"time"

	"gemini-client/service/openrouter/simulator"
)

// TestCutOff: two workers are cut off a NATS that lives, behind TCP forwarders, for
// longer than a lease, and healed, one a moment before the other. The calls go on,
// their results are stored, and nothing is paid for twice.
func TestCutOff(t *testing.T) {
	t.Parallel()
	for _, freeze := range []bool{false, true} {
		for first := range 2 {
			t.Run(fmt.Sprintf("frozen=%t,first=%d", freeze, first+1), func(t *testing.T) {
				t.Parallel()
				testCutOff(t, freeze, first)
			})
		}
	}
}

func testCutOff(t *testing.T, freeze bool, first int) {
	t.Helper()
	const ackWait, cut, requests = 15 * time.Second, 17 * time.Second, 40
	w := newWorld(t, shape{replicas: 2, env: map[string]string{"ACK_WAIT": ackWait.String(), "WORKER_CONCURRENCY": "30"}})
	var questions []question
	for i := range requests {
		questions = append(questions, ask(i, 2*cut)) // they go on when the cut is over
	}
	w.run()
	w.must(w.publish(t.Context(), bodies(questions), 0))
	w.called("every call is under way", func(s simulator.Stats) bool { return s.InFlight == requests })
	w.must(cutOff(t.Context(), []*replica{w.replicas[first], w.replicas[1-first]}, cut, freeze))
	healed := time.Now()
	w.settled(3*time.Minute, requests)
	w.leave()
	results := w.checkStreams(questions)
	w.checkCalls(excuses{})
	t.Logf("%d requests, two workers, AckWait %s, both cut off for %s: %d results, %d calls; last result %s after the end of the cut",
		requests, ackWait, cut, len(results), w.upstream.Count(), lastResult(results).Sub(healed).Round(time.Millisecond))
	atMost(t, "calls", w.upstream.Count(), requests)
}
