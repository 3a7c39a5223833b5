package service

import (
	"context"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// What is refused for another reason than its size fails as that; its original is
// kept once, and counted once.
func TestRefusedForGood(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		up      fakeUpstream
		refused int // so many ends with a result or a schedule are
		says    string
		note    any
	}{
		"an answer":            {nil, 1, "The answer could not be stored", nil},
		"its failure too":      {nil, 3, "The answer could not be stored", "kept as a dead letter: no result could be stored"},
		"a schedule":           {fails(upstream.Error{Code: events.RateLimited, Message: "no.", Heals: upstream.Later}), 1, "no. It could not be rescheduled", nil},
		"an invalid request's": {fails(upstream.Error{Code: events.InvalidRequest, Message: "no."}), 2, "No result could be stored", "kept as a dead letter"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left, letters := tt.refused, 0
			l := newLine(t, &fakeBus{settle: func(e bus.End) (s bus.Settled, err error) {
				if s.DeadLettered = e.DeadLetter != nil; s.DeadLettered {
					letters++
				}
				if left--; left >= 0 {
					return s, bus.ErrRefused
				}
				return bus.Settled{Stored: e.Result != nil, DeadLettered: s.DeadLettered}, nil
			}}, tt.up)
			l.deliver(t.Context(), delivery(""))
			lines := l.logged(t, "request failed")
			if len(lines) != 1 || !strings.Contains(lines[0]["error"].(string), tt.says) || lines[0]["note"] != tt.note {
				t.Errorf("log: %v", lines)
			}
			if ends := l.bus.settled(); len(ends) != tt.refused+1 || ends[tt.refused].Nack || letters != 1 {
				t.Errorf("%d dead letters, settled %d times: %+v", letters, len(ends), ends)
			}
		})
	}
}

// A message without an id that cannot be kept yet gives its slot back and comes
// again, at longer and longer intervals.
func TestUnusableIsNotKept(t *testing.T) {
	t.Parallel()
	for deliveries, again := range map[uint64]time.Duration{1: keepAgain, 3: 4 * keepAgain, 1000: 1024 * keepAgain} {
		l := newLine(t, &fakeBus{settle: func(e bus.End) (bus.Settled, error) {
			if e.Nack {
				return bus.Settled{}, nil
			}
			return bus.Settled{}, context.DeadlineExceeded
		}}, nil)
		d := delivery("")
		d.Body, d.Deliveries = []byte("not JSON"), deliveries
		l.deliver(t.Context(), d)
		if ends := l.bus.settled(); len(ends) != 2 || !ends[1].Nack || ends[1].After != again {
			t.Errorf("delivery %d: got %+v, want it again in %s", deliveries, ends, again)
		}
	}
}
