package upstream

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/limits"
	"gemini-client/service/openrouter"
	"gemini-client/service/tenant"
)

// tally is the counters of a server.
type tally struct {
	mu     sync.Mutex
	totals map[string]int64
	err    error
}

func (c *tally) Add(ctx context.Context, counter string, by int64, _ string) (int64, error) {
	if err := sleep(ctx, time.Millisecond); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.totals == nil {
		c.totals = map[string]int64{}
	}
	c.totals[counter] += by
	return c.totals[counter], c.err
}

var _ limits.Counter = &tally{}

// sum is what the counters of a limit have together.
func (c *tally) sum(prefix string) (sum int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for counter, total := range c.totals {
		if strings.HasPrefix(counter, prefix) {
			sum += total
		}
	}
	return sum
}

// tenants are those that are declared, with so many requests and tokens a minute.
func tenants(all map[string][2]int) *tenant.Registry {
	r := tenant.NewRegistry()
	var list []tenant.Tenant
	for name, most := range all {
		one := tenant.Undeclared(name)
		one.RequestsPerMinute, one.TokensPerMinute = most[0], most[1]
		list = append(list, one)
	}
	r.Replace(list)
	return r
}

// sharing is a caller whose limits are those of a fleet.
func (c *tally) sharing(t *testing.T, r *tenant.Registry, change func(*config.Config), reactions ...reaction) (testCaller, *fakeRouter) {
	t.Helper()
	p, up := newTestCaller(t, change, reactions...)
	p.Share(Sharing{Counter: c, Offset: func(context.Context) (time.Duration, error) { return 0, nil }, Names: events.DefaultNames(), Tenants: r})
	t.Cleanup(p.Close)
	return p, up
}

// of makes a call for a tenant.
func (p testCaller) of(ctx context.Context, tenant, model string) Reply {
	q := question()
	q.Model = model
	c := &call{caller: p.Caller, event: &events.Request{Tenant: tenant}, request: q, piece: ignore, start: time.Now()}
	c.queue, _ = ctx.Value(queueKey{}).(*Queue)
	defer c.arrive()
	p.do(ctx, c)
	return c.reply
}

// pressing has so many calls wait all the time, until ctx ends, and returns when those
// began that were answered.
func pressing(ctx context.Context, n int, ask func() Reply) (wait func() []time.Time) {
	var mu sync.Mutex
	var began []time.Time
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for ctx.Err() == nil {
				re := ask()
				if re.Err != nil {
					_ = sleep(ctx, re.Err.Wait)
					continue
				}
				mu.Lock()
				began = append(began, time.Now())
				mu.Unlock()
			}
		})
	}
	return func() []time.Time { all.Wait(); return began }
}

// worstMinute is how many of some times are in one minute, at most.
func worstMinute(at []time.Time) (most int) {
	first := 0
	for i := range at {
		for at[i].Sub(at[first]) >= time.Minute {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// used answers "hello", and says how many tokens that took.
func used(tokens string) reaction {
	return stream(`{"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":`+tokens+`}}`, "[DONE]")
}

func withTokens(q openrouter.Request, most int) openrouter.Request {
	q.MaxTokens = most
	return q
}
