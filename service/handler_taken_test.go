package service

import (
	"testing"

	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// A worker whose request was taken over while it called stores no failure and no
// schedule of its own: they would end what the other one works on. An answer is paid
// for, and the first one counts.
func TestNoVerdictButAnAnswerOnceTakenOver(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		up   fakeUpstream
		want bus.End
	}{
		"failed for good": {fails(upstream.Error{Code: "internal", Heals: upstream.Never}), bus.End{Nack: true, After: busyDelay}},
		"to be scheduled": {fails(upstream.Error{Code: "rate_limited", Heals: upstream.Later}), bus.End{Nack: true, After: busyDelay}},
		"answered":        {nil, bus.End{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLine(t, &fakeBus{taken: true}, tt.up)
			l.deliver(t.Context(), delivery(""))
			ends := l.bus.settled()
			if len(ends) != 1 || ends[0].Nack != tt.want.Nack || ends[0].After != tt.want.After || ends[0].Schedule != nil || (ends[0].Result != nil) == tt.want.Nack {
				t.Errorf("settled: %+v, want %+v", ends, tt.want)
			}
		})
	}
}
