//go:build integration

package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// question is a request that was published, once or several times.
type question struct {
	id, prompt string
	wantFailed events.Code // "" if it must be completed
	cancelled  *time.Time  // when that was stored; nil if nobody cancels it
}

// ask makes a question whose answer takes so long.
func ask(i int, latency time.Duration) question {
	id := servicetest.NewID()
	return question{id: id, prompt: fmt.Sprintf("Question %d, %s? [sim:hang for=%s]", i, id, latency)}
}

func (q question) body() []byte { return servicetest.Body(q.id, q.prompt, nil) }

func bodies(questions []question) [][]byte {
	var all [][]byte
	for _, q := range questions {
		all = append(all, q.body())
	}
	return all
}

// checkStreams reads the promises off the streams: one result for each
// question, the right one; all Msg-Ids different; the queues empty.
func (w *world) checkStreams(questions []question) []servicetest.Stored {
	w.t.Helper()
	byID, messageIDs := map[string][]servicetest.Stored{}, map[string]string{}
	results := w.backend.Results()
	for _, r := range results {
		id := r.Result.RequestID
		byID[id] = append(byID[id], r)
		m := r.Header.Get("Nats-Msg-Id")
		if other, taken := messageIDs[m]; taken || m == "" {
			w.t.Errorf("results of %s and %s have the same Nats-Msg-Id %q", other, id, m)
		}
		messageIDs[m] = id
	}
	for _, q := range questions {
		if got := byID[q.id]; len(got) != 1 {
			w.t.Errorf("%s has %d results, want 1: %v", q.id, len(got), subjects(got))
			w.trace(q)
		} else if code := errorCode(got[0]); code != q.wantFailed && (q.cancelled == nil || code != events.Cancelled) {
			w.t.Errorf("%s: error code %q, want %q: %s", q.id, code, q.wantFailed, got[0].Body)
			w.trace(q)
		}
		delete(byID, q.id)
	}
	for id, unknown := range byID {
		w.t.Errorf("%d results for %s, which nobody published", len(unknown), id)
	}
	for _, stream := range []string{w.backend.Names.RequestsStream(), w.backend.Names.RetriesStream()} {
		if n := w.queued(stream); n != 0 {
			w.t.Errorf("%s holds %d messages, want none", stream, n)
		}
	}
	return results
}

func errorCode(s servicetest.Stored) events.Code {
	if s.Result.ErrorCode == nil {
		return ""
	}
	return *s.Result.ErrorCode
}

func subjects(all []servicetest.Stored) []string {
	var list []string
	for _, s := range all {
		list = append(list, s.Subject)
	}
	return list
}

// lastResult is when the last of the results was stored.
func lastResult(results []servicetest.Stored) time.Time {
	return slices.MaxFunc(results, func(a, b servicetest.Stored) int { return a.At.Compare(b.At) }).At
}

// trace logs everything that is known of a question: its calls and what the
// replicas wrote about it.
func (w *world) trace(q question) {
	w.t.Helper()
	for _, c := range w.upstream.Calls() {
		if c.Prompt == q.prompt {
			w.t.Logf("  call %d of key …%s from %s to %s: status %d, fault %q, outcome %q", c.Number, c.Key[len(c.Key)-1:], clock(c.At), clock(c.Ended), c.Status, c.Fault, c.Outcome)
		}
	}
	for _, r := range w.replicas {
		for _, line := range r.output.find(q.id) {
			w.t.Logf("  %s: %s", r.name, line.text)
		}
		for _, k := range r.killed() {
			w.t.Logf("  %s was killed at %s", r.name, clock(k.from))
		}
	}
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

// excuses are the reasons that allow a second call of a request.
type excuses struct {
	deaths  []span        // of replicas, by whatever means
	outages []span        // of NATS that outlast a lease
	timeout time.Duration // after which the service itself gives a call up; 0: never
}

// checkCalls demands a reason for every call after a request's first: the
// upstream failed the one before, or the worker that made it died, or had to
// be taken for dead. It returns how many calls were made again for a death.
func (w *world) checkCalls(e excuses) (again int) {
	w.t.Helper()
	last := map[string]simulator.Call{}
	for _, c := range w.upstream.Calls() {
		before, repeated := last[c.Prompt]
		last[c.Prompt] = c
		if !repeated || e.upstreamFailed(before) && !c.At.Before(before.Ended) {
			continue
		}
		again++
		if !e.excused(before.At, c.At) {
			w.t.Errorf("call %d was made at %s though call %d for it (%s to %s, %s) gave no reason", c.Number, clock(c.At), before.Number, clock(before.At), clock(before.Ended), before.Outcome)
			w.trace(w.questionOf(c.Prompt))
		}
	}
	return again
}

// upstreamFailed reports whether a call ended with no good answer by the
// upstream's doing. A hang is how questions set their latency, and is a
// failure only if it outlasted the service's timeout.
func (e excuses) upstreamFailed(c simulator.Call) bool {
	if c.Fault != "" && c.Fault != "hang" {
		return true
	}
	return e.timeout > 0 && c.Outcome == simulator.OutcomeCancelled && c.Ended.Sub(c.At) > e.timeout*9/10
}

func (e excuses) excused(from, to time.Time) bool {
	from = from.Add(-lateArrival)
	return slices.ContainsFunc(slices.Concat(e.deaths, e.outages), func(s span) bool { return s.overlaps(from, to) })
}

// lateArrival is how long after its maker's death a call may reach the
// simulator: it was in the socket when the process was killed, and on a busy
// machine the simulator reads it late.
const lateArrival = time.Second

func (w *world) questionOf(prompt string) question {
	for word := range strings.FieldsFuncSeq(prompt, func(r rune) bool { return r == ' ' || r == '?' }) {
		if events.ValidID(word) {
			return question{id: word, prompt: prompt}
		}
	}
	return question{prompt: prompt}
}

// deaths are all kills of replicas.
func (w *world) deaths() []span {
	var all []span
	for _, r := range w.replicas {
		all = append(all, r.killed()...)
	}
	return all
}

// leave stops every replica with SIGTERM and checks how each behaved.
func (w *world) leave() {
	w.t.Helper()
	for _, r := range w.replicas {
		w.until(startLimit, r.name+" is up", func() (string, bool) { return "", r.up() })
		if code := r.stop(); code != 0 {
			w.t.Errorf("%s: exit code %d after SIGTERM with nothing to do, want 0", r.name, code)
		}
		r.check(w.t)
	}
}

// atMost asserts a bound of a figure.
func atMost[T int | time.Duration](t *testing.T, what string, got, bound T) {
	t.Helper()
	if got > bound {
		t.Errorf("%s: %v, want at most %v", what, got, bound)
	}
}
