//go:build integration

package stack

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// load is many requests and their expected results.
type load struct {
	stage     *stage
	backend   *servicetest.Backend
	upstream  *upstream
	questions map[string]string // prompts by request_id
}

func newLoad(b *servicetest.Backend, u *upstream) *load {
	return &load{stage: u.stage, backend: b, upstream: u, questions: map[string]string{}}
}

// ask publishes so many requests, whose answers take 100 to 400 ms, each until
// JetStream has taken it. A try whose acknowledgement was lost leaves a
// duplicate, as it does for every backend.
func (l *load) ask(n int) {
	l.stage.t.Helper()
	for range n {
		id := servicetest.NewID()
		prompt := fmt.Sprintf("%s, what is it? [sim:hang for=%dms]", id, 100+len(l.questions)*37%301)
		l.questions[id] = prompt
		l.stage.until("request "+id+" is stored", func() (string, bool) {
			ctx, cancel := context.WithTimeout(l.stage.t.Context(), 2*time.Second)
			defer cancel()
			_, err := l.backend.JS.Publish(ctx, l.backend.Names.RequestQueue, servicetest.Body(id, prompt, nil))
			return fmt.Sprint(err), err == nil
		})
	}
}

// fill publishes n requests, lets some calls through, and returns when each
// worker has a call in flight in every slot, so that a fault hits busy workers.
// Those calls wait for release. The first ones wait for the publisher, whom the
// workers overtake where the disk is slow.
func (l *load) fill(n, through, slots int, workers ...*worker) (release func()) {
	l.stage.t.Helper()
	before := l.upstream.Count()
	open := l.upstream.Hold()
	l.ask(n)
	open()
	l.upstream.called(before + through)
	release = l.upstream.Hold()
	l.upstream.busy(slots, workers...)
	return release
}

// answered waits until so many results are stored.
func (l *load) answered(n int) {
	l.stage.t.Helper()
	l.stage.until(fmt.Sprintf("%d results", n), func() (string, bool) {
		got := int(l.backend.State(l.backend.Names.ResponsesStream()).Msgs)
		return fmt.Sprintf("%d results, %d calls", got, l.upstream.Count()), got >= n
	})
}

// settled waits until every request has a result and the queues are empty, and
// then reads the promises off the streams: one result for each request, its
// own, and nothing else.
func (l *load) settled() {
	l.stage.t.Helper()
	t, names := l.stage.t, l.backend.Names
	l.answered(len(l.questions))
	for _, queue := range []string{names.RequestsStream(), names.RetriesStream()} {
		l.stage.until(queue+" is empty", func() (string, bool) {
			n := l.backend.State(queue).Msgs
			return fmt.Sprintf("%d messages", n), n == 0
		})
	}
	results := map[string]int{}
	for _, r := range l.backend.Results() {
		id := r.Result.RequestID
		results[id]++
		if r.Subject != names.ResponseQueue+".completed."+id {
			t.Errorf("%s has the result %s: %s", id, r.Subject, r.Body)
		} else if r.Result.Content == nil || !strings.Contains(*r.Result.Content, id) {
			t.Errorf("%s has another one's answer: %s", id, r.Body)
		}
	}
	for id := range l.questions {
		if results[id] != 1 {
			t.Errorf("%s has %d results, want 1", id, results[id])
		}
		delete(results, id)
	}
	if len(results) > 0 {
		t.Errorf("results of no request: %v", results)
	}
	if n := l.backend.State(names.DeadlettersStream()).Msgs; n != 0 {
		t.Errorf("%d dead letters, want none", n)
	}
}

// again returns the calls for requests that had been called for before, by the
// call before them.
func (l *load) again() (before []simulator.Call) {
	last := map[string]simulator.Call{}
	for _, c := range l.upstream.Calls() {
		if b, repeated := last[c.Prompt]; repeated {
			before = append(before, b)
		}
		last[c.Prompt] = c
	}
	return before
}

// paidOnce checks that no request was called for twice.
func (l *load) paidOnce() {
	l.stage.t.Helper()
	for _, c := range l.again() {
		l.stage.t.Errorf("paid again though nobody died: call %d (%s to %s, %s) for %.36s", c.Number, clock(c.At), clock(c.Ended), c.Outcome, c.Prompt)
	}
	if n := l.upstream.Count(); n != len(l.questions) {
		l.stage.t.Errorf("%d calls for %d requests", n, len(l.questions))
	}
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }
