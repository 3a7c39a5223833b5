//go:build integration

package stack

import (
	"fmt"
	"testing"
	"time"

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
	env := up.serving(slots, 15*time.Second) // longer than a disk stalls: the other one must not be taken for dead
	killed := s.worker("one", env, on(net, "one"))
	other := s.worker("two", env, on(net, "two"))
	l := newLoad(s.backend(n.url), up)
	release := l.fill(200, 60, slots, killed, other)
	killed.kill()
	release()
	l.settled()
	again := l.again()
	for _, before := range again {
		if before.Key != killed.key {
			t.Errorf("paid again: call %d of the live replica, %s to %s, outcome %q", before.Number, clock(before.At), clock(before.Ended), before.Outcome)
		}
	}
	if len(again) != slots {
		t.Errorf("%d calls were made again, want the %d that the killed replica had in flight", len(again), slots)
	}
	t.Logf("%d calls for %d requests", up.Count(), len(l.questions))
	other.leave()
}
