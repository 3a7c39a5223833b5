//go:build integration

package integration

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
)

// askMany makes n questions whose answers take 100 to 400 ms.
func askMany(n int) []question {
	var all []question
	for i := range n {
		all = append(all, ask(i, 100*time.Millisecond+rand.N(300*time.Millisecond)))
	}
	return all
}

// inFlight is what the service had under way when it was killed.
type inFlight struct {
	calls  int // whose answers had not ended, by the simulator
	unkept int // that had been made and have no result, the calls included
}

// TestKillService: five kill -9 of the one service process, two seconds apart,
// cost delay and the calls that were under way, and nothing else.
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
	var allCalls, allUnkept, lost int
	for range 5 {
		w.must(pause(t.Context(), 2*time.Second))
		calls := w.upstream.InFlight()
		last = time.Now()
		w.replicas[0].kill()
		now := inFlight{calls: calls, unkept: w.upstream.Count() - w.results() - lost}
		lost += now.unkept
		allCalls, allUnkept = allCalls+now.calls, allUnkept+now.unkept
		t.Logf("kill: %d calls in flight, %d calls made and without a result", now.calls, now.unkept)
		w.must(w.replicas[0].start(t.Context()))
	}
	w.must(<-published)
	w.settled(2*time.Minute, len(questions))
	w.leave()
	results := w.checkStreams(questions)
	again := w.checkCalls(excuses{deaths: w.deaths()})
	delay := lastResult(results).Sub(last)
	t.Logf("1,000 requests, 50 slots, AckWait %s, five kill -9: %d results, %d calls, %d of them again; in flight at the kills %d (%d with answers on their way into the stream); last result %s after the last kill",
		ackWait, len(results), w.upstream.Count(), again, allCalls, allUnkept, delay.Round(time.Millisecond))
	atMost(t, "calls", w.upstream.Count(), len(questions)+allUnkept)
	atMost(t, "last result after the last kill", delay, ackWait+8*time.Second)
}

// TestOneRequestManyTimes: one request, published a hundred times, three
// replicas that are killed once each.
func TestOneRequestManyTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{replicas: 3, env: map[string]string{"ACK_WAIT": "5s"}})
	q := ask(1, 3*time.Second)
	w.run()
	for _, r := range w.replicas { // all pull, so each gets its share
		w.until(startLimit, r.name+" is up", func() (string, bool) { return "", r.up() })
	}
	w.must(w.publish(t.Context(), slices.Repeat([][]byte{q.body()}, 70), 0))
	spared := slices.Clone(w.replicas)
	var dead *replica // comes back when another one calls, so that the next kill hits too
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
			w.must(w.upstream.Wait(t.Context(), func(simulator.Stats) bool { return w.cutCalls() > cut }))
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

// TestKiller: one request kills the process whenever it is called for. It
// alone fails.
func TestKiller(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{env: map[string]string{"ACK_WAIT": "3s", "WORKER_CONCURRENCY": "50"}})
	killer := ask(0, time.Second)
	killer.wantFailed = events.RedeliveryExhausted
	questions := append([]question{killer}, askMany(200)...)
	w.must(w.publish(t.Context(), bodies(questions), 0))
	w.run()
	watched := make(chan int)
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
