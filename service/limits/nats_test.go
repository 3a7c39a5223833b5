package limits_test

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

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

// shared are the counters of a bus.
type shared struct{ *bus.Bus }

func (s shared) Add(ctx context.Context, counter string, by int64, id string) (int64, error) {
	return s.AddLimit(ctx, counter, by, id)
}

// Four workers on one stream of a server, all of which want more than there is: no more
// calls begin than the windows admit together.
func TestFourWorkersOnOneStream(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t)
	const rate, quota, calls = 2440, 20, 120
	const counter = "gemini.limits.tenant.acme.requests"
	ctx, cancel := context.WithTimeout(t.Context(), servicetest.Patience)
	defer cancel()
	var begun atomic.Int64
	var workers sync.WaitGroup
	var groups []*limits.Group
	var last *bus.Bus
	for range 4 {
		b, tel := open(t, n)
		g := limits.NewGroup(limits.Config{
			Counter: shared{b}, Offset: b.Offset, Log: tel.Logger, Waited: func(string, time.Duration) {}, Unanswered: func(string) {},
		})
		l := g.New(limits.Name{Kind: "tenant", Of: "acme", Unit: "requests", Counter: counter}, rate)
		for range 10 {
			workers.Go(func() {
				for (limits.Ask{Wants: []limits.Want{{Limiter: l, Units: 1}}, Within: time.Hour}).Acquire(ctx) == nil {
					if begun.Add(1) >= calls {
						cancel()
					}
				}
			})
		}
		groups, last = append(groups, g), b
	}
	workers.Wait()
	for _, g := range groups {
		g.Close()
	}
	admitted, full := admittedBy(t, n, last, counter+".*", quota)
	if made := begun.Load(); made < calls || made > admitted || full == 0 {
		t.Errorf("%d calls, the windows admitted %d, %d of them were full", made, admitted, full)
	}
}

// admittedBy is how much the windows of a limit have admitted, and how many are used up.
func admittedBy(t *testing.T, n *servicetest.NATS, b *bus.Bus, filter string, quota int64) (sum int64, full int) {
	t.Helper()
	stream, err := servicetest.NewBackend(t, n).JS.Stream(t.Context(), "GEMINI_LIMITS")
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(filter))
	if err != nil {
		t.Fatal(err)
	}
	for subject := range info.State.Subjects {
		total, err := b.Add(t.Context(), subject, 0, "")
		if err != nil {
			t.Fatal(err)
		}
		if sum += min(total, quota); total >= quota {
			full++
		}
	}
	return sum, full
}
