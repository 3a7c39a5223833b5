package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
	"gemini-client/service/tenant"
)

// readDeadline is that of a request, as the handler reads it.
func readDeadline(_ string, body []byte) time.Time {
	var r struct {
		Deadline time.Time `json:"deadline"`
	}
	_ = json.Unmarshal(body, &r)
	return r.Deadline
}

// count is a line that answers what may be called for, and fails what has expired.
func (b *bench) count(bus *Bus, expired, answered *atomic.Int32) func(context.Context, *Delivery) {
	rules := b.config.Rules(0)
	return func(ctx context.Context, d *Delivery) {
		r, err := rules.Decode(d.Body, d.Taken)
		if err != nil {
			b.t.Errorf("a request that cannot be read: %v", err)
		}
		if bus.tenants.Of(d.Tenant).Isolated != d.Isolated {
			b.t.Errorf("a request of %s is isolated: %t", d.Tenant, d.Isolated)
		}
		end := End{}
		switch bus.Admit(ctx, Ask{Delivery: d, Callback: r.CallbackQueue, ID: r.ID, Deadline: r.Deadline})[0].State {
		case Admitted:
			answered.Add(1)
			end.Result = new(r.Completed("answered", time.Now()))
		case Expired:
			expired.Add(1)
			end.Result = new(r.Failed(events.Failure{Code: events.DeadlineExceeded, Message: "too late"}, time.Now()))
		case Busy, Interrupted, Unclear:
			end.Nack, end.After = true, 100*time.Millisecond
		case Cancelled, Duplicate, Answered, Rescheduled:
		}
		if _, err := bus.Settle(ctx, d, end); err != nil {
			b.t.Errorf("settle: %v", err)
		}
	}
}

// TestDeadlineOfAHeldRequest: while nothing of a tenant is taken, its requests are
// answered when their deadlines pass, by one of the workers; the others wait until they
// are taken. So it is of the default tenant, alone.
func TestDeadlineOfAHeldRequest(t *testing.T) {
	t.Parallel()
	for name, declared := range map[string][]tenant.Tenant{"acme": {isolated("acme")}, events.DefaultTenant: nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *config.Config) { c.Concurrency = 4 })
			b.provision()
			one, other := b.open(), b.open()
			b.declare(one, declared...)
			b.record(other, declared...)
			var may atomic.Bool
			var expired, answered atomic.Int32
			for _, bus := range []*Bus{one, other} {
				b.run(bus, Handlers{Deadline: readDeadline, Deliver: b.count(bus, &expired, &answered), MayTake: func(tenant string, _ int) (int, time.Duration) {
					if may.Load() || tenant == "" {
						return 1 << 20, 0
					}
					return 0, time.Hour
				}})
			}
			const of = 10
			for i := range of {
				more := map[string]any{}
				if i%2 == 0 {
					more["deadline"] = time.Now().Add(time.Duration(i+1) * 50 * time.Millisecond)
				}
				if _, err := b.JS.Publish(b.Context(), b.Names.Requests(name, events.LaneInteractive), servicetest.Body(servicetest.NewID(), "hello", more)); err != nil {
					t.Fatal(err)
				}
			}
			b.Until("half of the requests have expired", func() (string, bool) {
				return fmt.Sprint(expired.Load()), expired.Load() == of/2
			})
			if n := b.State(b.Names.RequestsStream()).Msgs; n != of || answered.Load() != 0 {
				t.Errorf("%d messages are left, %d requests were answered while they were held", n, answered.Load())
			}
			may.Store(true)
			b.Idle()
			if n := len(b.Results()); n != of || answered.Load() != of/2 {
				t.Errorf("%d results, %d of them answered, want %d and %d", n, answered.Load(), of, of/2)
			}
		})
	}
}
