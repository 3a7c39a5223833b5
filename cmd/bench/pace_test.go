package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// A publisher that was held up for a second has published ten requests late: what
// their users waited counts from when they were due.
func TestCoordinatedOmission(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := plan{start: start, rate: 10}
	w := newStopwatch(p, 12)
	for i := range 12 {
		sent := p.due(i)
		if held := start.Add(time.Second); sent.Before(held) {
			sent = held // all of the first second at its end
		}
		w.stop(requestID(i), sent.Add(5*time.Millisecond)) // each answer takes 5 ms
	}
	<-w.done
	want := []float64{5, 5, 105, 205, 305, 405, 505, 605, 705, 805, 905, 1005}
	if diff := cmp.Diff(want, w.milliseconds(0)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[:2], w.milliseconds(10)); diff != "" {
		t.Errorf("without what warms up (-want +got):\n%s", diff)
	}
}

func TestSecondResult(t *testing.T) {
	t.Parallel()
	w := newStopwatch(plan{start: time.Now(), rate: 1}, 2)
	for _, id := range []string{requestID(0), requestID(0), requestID(7), "nonsense"} {
		w.stop(id, time.Now().Add(time.Hour))
	}
	if len(w.errors) != 3 || w.left != 1 {
		t.Errorf("%d errors, %d left: %v", len(w.errors), w.left, w.errors)
	}
}

// A second load's requests have later numbers: those of the first are not its own.
func TestLaterLoad(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := newStopwatch(plan{start: start, rate: 10, first: 20}, 2)
	w.stop(requestID(19), start)
	w.stop(requestID(20), start.Add(7*time.Millisecond))
	w.stop(requestID(21), start.Add(109*time.Millisecond))
	if diff := cmp.Diff([]float64{7, 9}, w.milliseconds(0)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(w.errors) != 1 {
		t.Errorf("errors: %v", w.errors)
	}
}

func TestFirstDelta(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"request_id":"a","index":0,"content":"The"}`:  "a",
		`{"request_id":"a","index":1,"content":" sky"}`: "",
		`{`: "",
	} {
		if got := firstDeltaOf(&nats.Msg{Data: []byte(body)}); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	for _, i := range []int{0, 1, 255, 999_999, warmIndex} {
		id := requestID(i)
		if got, ok := requestIndex(id); !ok || got != i || len(id) != 36 {
			t.Errorf("%d became %s and again %d, %v", i, id, got, ok)
		}
	}
	for _, odd := range []string{"", "x", "0190f5a1-7c1d-7000-8000-00000000000g", "0190f5a1-7c1d-7000-8000-000000000001"} {
		if i, ok := requestIndex(odd); ok {
			t.Errorf("%q was read as %d", odd, i)
		}
	}
}
