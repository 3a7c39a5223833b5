//go:build integration

package integration

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// askMany makes n questions whose answers take 100 to 400 ms.
func askMany(n int) []question {
	var all []question
	for i := range n {
		all = append(all, ask(i, 100*time.Millisecond+rand.N(300*time.Millisecond)))
	}
	return all
}

// crashLoopWait is the longest time for which the service reschedules a request
// that it has started three times (service/crashloop.go), in the whole seconds of
// JetStream's schedules.
const crashLoopWait = 22 * time.Second

// TestKillService: five kill -9 of the one service process, two seconds apart,
// cost delay and the calls that were in flight, and nothing else.
func TestKillService(t *testing.T) {
	t.Parallel()
	const ackWait = 10 * time.Second
	w := newWorld(t, shape{env: map[string]string{"ACK_WAIT": ackWait.String(), "WORKER_CONCURRENCY": "50"}})
	questions := askMany(1000)
	w.must(w.publish(t.Context(), bodies(questions[:500]), 0))
	w.run()
	published := make(chan error, 1)
	go func() { published <- w.publish(t.Context(), bodies(questions[500:]), 11*time.Second) }() // so that each kill hits
	var last time.Time
	inFlight := 0
	for range 5 {
		w.must(pause(t.Context(), 2*time.Second))
		inFlight += w.upstream.InFlight()
		last = time.Now()
		w.replicas[0].kill()
		w.must(w.replicas[0].start(t.Context()))
	}
	w.must(<-published)
	w.settled(2*time.Minute, len(questions))
	w.leave()
	results := w.checkStreams(questions)
	again := w.checkCalls(excuses{deaths: w.deaths()})
	delay := lastResult(results).Sub(last)
	unkept := w.unkept(results)
	// A request is delivered again when its lease is over, the server's timers have fired
	// and a second has passed in which its dead owner still counted as alive. On a
	// slow machine the last kill may hit what the first one had hit.
	bound := ackWait + 8*time.Second
	crashLoops := len(w.replicas[0].output.find("(crash loop "))
	if crashLoops > 0 {
		bound += crashLoopWait
	}
	t.Logf("1,000 requests, 50 slots, AckWait %s, five kill -9: %d results, %d calls, %d of them again; in flight at the kills %d, left without a result by them %v; last result %s after the last kill, %d requests rescheduled apart from others",
		ackWait, len(results), w.upstream.Count(), again, inFlight, unkept, delay.Round(time.Millisecond), crashLoops)
	for _, n := range unkept {
		again -= n
	}
	atMost(t, "calls made again beyond those that the kills left without a result", again, 0)
	atMost(t, "last result after the last kill", delay, bound)
}

// unkept returns how many calls each kill of the one replica left without a
// stored result. What the process had just sent when it was killed may arrive
// later, and is cut then.
func (w *world) unkept(results []servicetest.Stored) (left []int) {
	stored := map[string]time.Time{}
	for _, r := range results {
		stored[r.Result.RequestID] = r.At
	}
	calls := w.upstream.Calls()
	for _, death := range w.deaths() {
		n := 0
		calls = slices.DeleteFunc(calls, func(c simulator.Call) bool {
			late := c.Outcome == simulator.OutcomeCancelled && c.At.Before(death.to.Add(lateArrival))
			if c.At.After(death.to) && !late {
				return false // of a later process
			}
			if stored[w.questionOf(c.Prompt).id].After(death.from) {
				n++
			}
			return true
		})
		left = append(left, n)
	}
	return left
}

// TestOneRequestManyTimes: one request, published a hundred times, three
// replicas that are killed once each.
func TestOneRequestManyTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{replicas: 3, env: map[string]string{"ACK_WAIT": "10s"}})
	q := ask(1, 3*time.Second)
	w.run()
	for _, r := range w.replicas { // all pull, so each gets its share
		w.until(startLimit, r.name+" is up", func() (string, bool) { return "", r.up() })
	}
	w.must(w.publish(t.Context(), slices.Repeat([][]byte{q.body()}, 70), 0))
	spared := slices.Clone(w.replicas)
	var dead *replica // started again when another one calls, so that the next kill hits too
	for len(spared) > 0 {
		w.until(time.Minute, "a call is in flight, or answered", func() (string, bool) {
			return "", w.caller() != nil || w.results() > 0
		})
		if dead != nil {
			w.must(dead.start(t.Context()))
		}
		w.must(pause(t.Context(), time.Second))
		caller, cut := w.caller(), w.cutCalls()
		i := max(0, slices.Index(spared, caller)) // another one if the caller has had its turn
		spared[i].kill()
		if spared[i] == caller {
			w.called("the call of the killed replica is cut", func(simulator.Stats) bool { return w.cutCalls() > cut })
		}
		dead = spared[i]
		spared = slices.Delete(spared, i, i+1)
		w.must(w.publish(t.Context(), slices.Repeat([][]byte{q.body()}, 10), 0))
	}
	w.must(dead.start(t.Context()))
	w.settled(2*time.Minute, 1)
	w.leave()
	results := w.checkStreams([]question{q})
	w.checkCalls(excuses{deaths: w.deaths()})
	hits := w.cutCalls()
	t.Logf("one request published 100 times, three replicas killed once each: %d result, %d calls, %d kills hit the caller", len(results), w.upstream.Count(), hits)
	atMost(t, "calls", w.upstream.Count(), 1+hits)
}

// caller is the replica whose call is in flight, nil if none is.
func (w *world) caller() *replica {
	for _, c := range w.upstream.Calls() {
		if c.Outcome == "" {
			i := slices.IndexFunc(w.replicas, func(r *replica) bool { return r.key == c.Key })
			return w.replicas[i]
		}
	}
	return nil
}

// cutCalls counts the calls whose caller has gone.
func (w *world) cutCalls() int {
	n := 0
	for _, c := range w.upstream.Calls() {
		if c.Outcome == simulator.OutcomeCancelled {
			n++
		}
	}
	return n
}

// TestKiller: one request kills the process at each of its calls. It alone
// fails.
func TestKiller(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{env: map[string]string{"ACK_WAIT": "10s", "WORKER_CONCURRENCY": "50"}})
	killer := ask(0, time.Second)
	killer.wantFailed = events.RedeliveryExhausted
	questions := append([]question{killer}, askMany(200)...)
	w.must(w.publish(t.Context(), bodies(questions), 0))
	w.run()
	watched := make(chan int, 1) // nobody reads it if the test fails
	stop := make(chan struct{})
	go func() { watched <- w.killFor(killer, stop) }()
	begin := time.Now()
	w.settled(4*time.Minute, len(questions))
	close(stop)
	kills := <-watched
	w.leave()
	results := w.checkStreams(questions)
	again := w.checkCalls(excuses{deaths: w.deaths()})
	t.Logf("one request that kills the process, 50 slots, 200 others: %d kills, %d results, the killer alone failed; %d calls, %d of them again; all over after %s",
		kills, len(results), w.upstream.Count(), again, time.Since(begin).Round(time.Second))
}

// killFor kills the service when it calls for a question, until stop.
func (w *world) killFor(killer question, stop <-chan struct{}) (kills int) {
	for seen := 0; ; {
		select {
		case <-stop:
			return kills
		case <-w.t.Context().Done():
			return kills
		default:
		}
		if calls := w.upstream.CountFor(killer.prompt); calls > seen {
			seen = calls
			kills++
			w.replicas[0].kill()
			_ = w.replicas[0].start(w.t.Context()) // a failure shows as results that do not come
		}
		_ = pause(w.t.Context(), 5*time.Millisecond)
	}
}
