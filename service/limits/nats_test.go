package limits_test

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/limits"
	"gemini-client/service/servicetest"
	"gemini-client/telemetry"
)

// open returns a worker's bus.
func open(t *testing.T, n *servicetest.NATS) (*bus.Bus, *telemetry.Telemetry) {
	t.Helper()
	c, _, err := config.Load("", "")
	if err != nil {
		t.Fatal(err)
	}
	c.NATS.URL = n.URL
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	b, err := bus.Open(t.Context(), c, tel)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Close()
		_ = tel.Shutdown(context.Background())
	})
	return b, tel
}

// Four workers on one stream of a server: together they make as many calls as one may,
// in each window of the server's clock, and no window admits more.
func TestFourWorkersOnOneStream(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t)
	const rate, windows = 2440, 6 // 20 a window
	var mu sync.Mutex
	var begun []time.Time
	ctx, cancel := context.WithTimeout(t.Context(), servicetest.Patience)
	defer cancel()
	var workers sync.WaitGroup
	var groups []*limits.Group
	for range 4 {
		b, tel := open(t, n)
		if err := b.LimitsReady(ctx); err != nil {
			t.Fatal(err)
		}
		g := limits.NewGroup(limits.Config{
			Counter: b, Offset: b.Offset, Log: tel.Logger, Waited: func(string, time.Duration) {},
			Unanswered: func(string) { t.Log("an increment got no answer") },
		})
		groups = append(groups, g)
		l := g.New(limits.Name{Kind: "tenant", Of: "acme", Unit: "requests", Counter: "gemini.limits.tenant.acme.requests"}, rate)
		for range 10 {
			workers.Go(func() {
				for {
					if (limits.Ask{Wants: []limits.Want{{Limiter: l, Units: 1}}, Within: time.Hour}).Acquire(ctx) != nil {
						return
					}
					mu.Lock()
					begun = append(begun, time.Now())
					if len(begun) >= rate/122*windows {
						cancel()
					}
					mu.Unlock()
				}
			})
		}
	}
	workers.Wait()
	for _, g := range groups {
		g.Close()
	}
	slices.SortFunc(begun, time.Time.Compare)
	const most = 2 * rate / 122 // any time shorter than a window touches two of them
	for i := most; i < len(begun); i++ {
		if in := begun[i].Sub(begun[i-most]); in < 400*time.Millisecond {
			t.Errorf("%d calls in %v, want at most %d in any 0.4 s", most+1, in, most)
		}
	}
	if len(begun) < rate/122*windows {
		t.Errorf("%d calls, want %d", len(begun), rate/122*windows)
	}
}
