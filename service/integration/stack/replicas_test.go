//go:build integration

package stack

import (
	"fmt"
	"testing"

	"gemini-client/service/openrouter/simulator"
)

// One of two replicas is killed: the other one answers what it left, and only
// what was in flight there is called for again.
func TestOneOfTwoReplicasIsKilled(t *testing.T) {
	t.Parallel()
	const slots = 10
	s := newStage(t)
	net := s.network()
	n := s.nats("nats", fmt.Sprintf(single, "nats"), on(net, "nats"))
	up := s.upstream(simulator.Config{})
	env := settings{"OPENROUTER_BASE_URL": up.url, "ACK_WAIT": "6s", "WORKER_CONCURRENCY": fmt.Sprint(slots)}
	killed := s.worker("one", env, on(net, "one"))
	other := s.worker("two", env, on(net, "two"))
	l := newLoad(s.backend(n.url), up)
	l.ask(200)
	up.called(60)
	s.until("both replicas are calling", func() (string, bool) {
		byKey := map[string]int{}
		for _, c := range up.Calls() {
			byKey[c.Key]++
		}
		return fmt.Sprint(byKey), byKey[killed.key] > 0 && byKey[other.key] > 0
	})
	killed.kill()
	l.settled()
	again := l.again()
	for _, before := range again {
		if before.Key != killed.key {
			t.Errorf("paid again: call %d of the living replica, %s to %s, outcome %q", before.Number, clock(before.At), clock(before.Ended), before.Outcome)
		}
	}
	if len(again) > slots {
		t.Errorf("%d calls were made again, want at most the %d slots of the killed replica", len(again), slots)
	}
	t.Logf("%d calls for %d requests", up.Count(), len(l.questions))
	other.leave()
}
