//go:build integration

package integration

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// cancelHeard is how long after a cancellation was stored a call for its request may
// still begin: the look before it may have been made already, or NATS was restarted
// in this moment.
const cancelHeard = 5 * time.Second

// hostileRequest is a body that must not reach the upstream, and its question; without
// an id it is junk.
func hostileRequest(random *rand.Rand) (question, []byte) {
	q := question{id: servicetest.NewID(), wantFailed: events.InvalidRequest}
	head := `{"request_id":"` + q.id + `",`
	bodies := []string{
		head + `"prompt":"a","temperature":1,"parameters":{"temperature":9}}`,
		head + `"prompt":"a","metadata":{"a":` + strings.Repeat("[", 300_000) + strings.Repeat("]", 300_000) + `}}`,
		head + `"messages":[{"role":"user","content":[` + strings.TrimSuffix(strings.Repeat(`{"text":""},`, 50_000), ",") + `]}]}`,
		head + `"prompt":"a","openrouter":{"tools":[` + strings.TrimSuffix(strings.Repeat(`{},`, 200_000), ",") + `]}}`,
		head + `"prompt":"a","parameters":{"stop_sequences":[` + strings.TrimSuffix(strings.Repeat(`"",`, 200_000), ",") + `]}}`,
		strings.Repeat("\x00", 500_000),
		`{"request_id":"` + strings.Repeat("x", 500_000) + `","prompt":"a"}`,
	}
	i := random.IntN(len(bodies))
	if i >= len(bodies)-2 {
		q = question{}
	}
	return q, []byte(bodies[i])
}

// edgeFault is an error page of an edge before OpenRouter, whatever its status says.
func edgeFault(random *rand.Rand, d time.Duration, share float64) step {
	codes := []string{"400", "403", "404", "405", "409", "413", "421", "425", "451", "502", "520"}
	code := codes[random.IntN(len(codes))]
	return step{name: fmt.Sprintf("an edge's %s page for %s, share %v", code, d, share), do: func(ctx context.Context, w *world) error {
		w.upstream.SetFault(simulator.Fault{
			Name: "status", Params: map[string]string{"code": code, "body": "html"}, Share: share, Until: time.Now().Add(d),
		})
		defer w.upstream.ClearFaults()
		return pause(ctx, d)
	}}
}

// cancels draws which of the questions are cancelled and when: some of them before they are asked.
func (s *scenario) cancels(questions []question) (track []step) {
	random := rand.New(rand.NewPCG(s.seed, 2))
	for i := range questions {
		if questions[i].wantFailed != "" || random.Float64() >= s.cancelled {
			continue
		}
		questions[i].cancelled = new(time.Time)
		q := questions[i]
		track = append(track, step{
			at: time.Duration(random.Int64N(int64(faultTime))), name: "cancel " + q.id,
			do: func(ctx context.Context, w *world) error { return w.cancel(ctx, q) },
		})
	}
	slices.SortFunc(track, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	return track
}

// cancel cancels a question and notes when that was stored.
func (w *world) cancel(ctx context.Context, q question) error {
	for {
		one, stop := context.WithTimeout(ctx, 2*time.Second)
		_, err := w.backend.JS.Publish(one, w.backend.Names.Cancel(q.id), nil)
		stop()
		if err == nil {
			*q.cancelled = time.Now()
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// checkCancelled demands that nothing was called for long after it was cancelled.
func (w *world) checkCancelled(questions []question) {
	w.t.Helper()
	for _, q := range questions {
		if q.cancelled == nil {
			continue
		}
		for _, c := range w.upstream.Calls() {
			late := c.At.Sub(*q.cancelled)
			absent := slices.ContainsFunc(w.outages, func(o span) bool { return o.overlaps(*q.cancelled, c.At) })
			if c.Prompt == q.prompt && late > cancelHeard && !absent {
				w.t.Errorf("call %d was made %s after its request was cancelled", c.Number, late.Round(time.Millisecond))
				w.trace(q)
			}
		}
	}
}

func cancelledOf(results []servicetest.Stored) (n int) {
	for _, r := range results {
		if errorCode(r) == events.Cancelled {
			n++
		}
	}
	return n
}

// checkJunk demands that each message without a usable id was kept. A publish whose
// acknowledgement was lost leaves two.
func (w *world) checkJunk(want int) {
	w.t.Helper()
	if got := len(w.backend.Stored(w.backend.Names.DeadlettersStream())); got < want {
		w.t.Errorf("%d dead letters of %d messages without a usable id", got, want)
	}
}
