package service

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gemini-client/events"
)

// A schedule's time is cut to whole seconds by the client and may fire a tick
// early: what is asked for is never before the time that was meant.
func TestWholeSeconds(t *testing.T) {
	t.Parallel()
	base := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, after := range []time.Duration{0, 1, 100 * time.Millisecond, 750 * time.Millisecond, 751 * time.Millisecond, 999 * time.Millisecond} {
		at := base.Add(after)
		got := wholeSeconds(at)
		if early := at.Sub(got.Add(-250 * time.Millisecond)); early > 0 || got.Nanosecond() != 0 || got.Sub(at) > 2*time.Second {
			t.Errorf("wholeSeconds(%s): got %s", at, got)
		}
	}
}

// What a schedule's headers count.
func TestHeadersOfTheNextDelivery(t *testing.T) {
	t.Parallel()
	d := delivery{Header: map[string][]string{events.HeaderRetryCount: {"2"}, events.HeaderStrikes: {"1"}}}
	for name, c := range map[string]struct {
		v    verdict
		want map[string]string
	}{
		"a call failed":    {verdict{}, map[string]string{events.HeaderRetryCount: "3", events.HeaderStrikes: "0"}},
		"no call was made": {verdict{free: true}, map[string]string{events.HeaderRetryCount: "2", events.HeaderStrikes: "0"}},
		"a suspect":        {verdict{strikes: 2}, map[string]string{events.HeaderStrikes: "2"}},
	} {
		if diff := cmp.Diff(c.want, c.v.headers(d)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
