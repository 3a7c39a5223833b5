//go:build integration

package integration

import (
	"slices"
	"testing"
	"time"

	"gemini-client/service/openrouter/simulator"
)

// TestStorm: three seconds of 429 with a Retry-After that counts down, for the
// only key and the only model: a fallback would be asked at once. Not parallel to
// others: its bounds are about milliseconds.
func TestStorm(t *testing.T) {
	w := newWorld(t, shape{
		env:      map[string]string{"WORKER_CONCURRENCY": "50", "OPENROUTER_FALLBACK_MODELS": "none"},
		upstream: simulator.Config{Latency: 20 * time.Millisecond},
	})
	var questions []question
	for i := range 200 {
		questions = append(questions, ask(i, 20*time.Millisecond))
	}
	w.must(w.publish(t.Context(), bodies(questions), 0))
	release := w.upstream.Hold() // so that every slot has made its call when the storm breaks
	w.run()
	w.called("a call held in each of 50 slots", func(s simulator.Stats) bool { return s.Held == 50 })
	end := time.Now().Add(3 * time.Second)
	w.upstream.SetFault(simulator.Storm429(end))
	release()
	w.settled(time.Minute, len(questions))
	w.leave()
	results := w.checkStreams(questions)
	w.checkCalls(excuses{})
	named, early := namedTimes(w.upstream.Calls(), end)
	delay := lastResult(results).Sub(named)
	t.Logf("200 requests, 50 slots, one key, 429 for 3 s: %d results, %d calls, %d of them before the time that the last answer had named; last result %s after that time",
		len(results), w.upstream.Count(), len(early), delay.Round(time.Millisecond))
	for _, c := range early {
		t.Errorf("call %d came at %s, before the time that the last answer named", c.Number, clock(c.At))
	}
	atMost(t, "calls", w.upstream.Count(), 255)
	atMost(t, "last result after the time that was named", delay, 2*time.Second)
}

// namedTimes returns the last time that a 429 named for the next call, and
// which calls came before the time that the last 429 before them had named. An
// answer counts as received ten milliseconds after it was sent.
func namedTimes(calls []simulator.Call, end time.Time) (named time.Time, early []simulator.Call) {
	const heard = 10 * time.Millisecond
	times := make(map[int]time.Time)
	for _, c := range calls {
		if c.Status == 429 {
			left := max(1, end.Sub(c.Ended)+time.Second-1) // Retry-After is in whole seconds, rounded up
			times[c.Number] = c.Ended.Add(max(time.Second, left.Truncate(time.Second)))
		}
	}
	for _, c := range calls {
		var last simulator.Call
		for _, before := range calls {
			if before.Status == 429 && before.Ended.Add(heard).Before(c.At) && before.Ended.After(last.Ended) {
				last = before
			}
		}
		if c.At.Before(times[last.Number]) {
			early = append(early, c)
		}
		if times[c.Number].After(named) {
			named = times[c.Number]
		}
	}
	return named, early
}

// TestDeadUpstream: nobody answers for 30 s while 10,000 requests wait.
func TestDeadUpstream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shape{
		env:      map[string]string{"WORKER_CONCURRENCY": "100"},
		upstream: simulator.Config{Latency: 20 * time.Millisecond},
	})
	var questions []question
	for i := range 10_000 {
		questions = append(questions, ask(i, 20*time.Millisecond))
	}
	w.must(w.publish(t.Context(), bodies(questions), 0))
	release := w.upstream.Hold() // so that every slot has made its call when the upstream dies
	w.run()
	w.called("a call held in each of 100 slots", func(s simulator.Stats) bool { return s.Held == 100 })
	w.upstream.SetFault(simulator.Fault{Name: "refuse"})
	release()
	w.must(pause(t.Context(), 30*time.Second))
	w.upstream.ClearFaults()
	well := time.Now()
	dead := w.upstream.Count()
	lines := slices.DeleteFunc(w.replicas[0].output.find(""), func(l logLine) bool { return l.at.After(well) })
	periods := len(slices.DeleteFunc(w.replicas[0].output.find("trying OpenRouter again"), func(l logLine) bool { return l.at.After(well) }))
	w.settled(4*time.Minute, len(questions))
	w.leave()
	results := w.checkStreams(questions)
	w.checkCalls(excuses{})
	t.Logf("10,000 requests, 100 slots, a dead upstream for 30 s: %d calls and %d log lines meanwhile, %d half-open periods; afterwards %d results, the last %s later",
		dead, len(lines), periods, len(results), lastResult(results).Sub(well).Round(time.Millisecond))
	// Three probes at a time: the first that fails gives its place to a fourth
	// before the second failure closes the period.
	atMost(t, "calls while nobody answered", dead, 100+4*periods)
	atMost(t, "log lines while nobody answered", len(lines), 199)
}
