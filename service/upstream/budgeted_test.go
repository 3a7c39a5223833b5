package upstream_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/budget"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
	"gemini-client/service/tenant"
	"gemini-client/service/upstream"
)

// TestWhatACallCostsIsSettled: no more than was reserved for it, whatever was asked.
func TestWhatACallCostsIsSettled(t *testing.T) {
	t.Parallel()
	b := newBudgeted(t, 10, tenant.Hold, nil)
	random := rand.New(rand.NewPCG(1, 2))
	var want, before int64
	for i := range 20 {
		r := request(strings.Repeat("wörter und Ж ", 1+random.IntN(300)) + fmt.Sprint(i))
		r.Parameters.MaxOutputTokens = 100 + random.IntN(1000)
		if i%3 == 0 {
			r.Prompt, r.Messages = "", []byte(`[{"role":"user","content":"Why?"},{"role":"assistant","content":"So."},{"role":"user","content":[{"type":"text","text":"And?"}]}]`)
		}
		reply := b.ask(t, r)
		if reply.Err != nil || reply.Usage.Cost == nil {
			t.Fatalf("%v, cost %v", reply.Err, reply.Usage.Cost)
		}
		_, most, _ := b.books.of()
		if cost := budget.Micros(*reply.Usage.Cost); most-before < cost && i == 0 {
			t.Errorf("reserved %d for a call that cost %d", most-before, cost)
		}
		want += budget.Micros(*reply.Usage.Cost)
		before = want
	}
	if spent := b.settled(t); spent != want {
		t.Errorf("spent %d, want %d", spent, want)
	}
}

// TestEstimatesAreUpperBounds: the reservation of each call is seen alone.
func TestEstimatesAreUpperBounds(t *testing.T) {
	t.Parallel()
	media := `[{"role":"user","content":[{"type":"text","text":"Look"},{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]`
	for name, tt := range map[string]struct {
		change func(*events.Request)
		want   int64 // at least
	}{
		"a prompt":    {func(r *events.Request) { r.Prompt = strings.Repeat("x", 4000) }, 4000*3/10 + 8192*5/2},
		"a short one": {func(r *events.Request) { r.Parameters.MaxOutputTokens = 10 }, 25},
		"media":       {func(r *events.Request) { r.Prompt, r.Messages = "", []byte(media) }, 1048576*3/10 + 8192*5/2},
		"hidden media": {func(r *events.Request) {
			r.Prompt, r.Messages = "", []byte(strings.Replace(media, `"image_url",`, `"image_url","Type":"text",`, 1))
		}, 1048576*3/10 + 8192*5/2},
		"hidden content": {func(r *events.Request) {
			r.Prompt, r.Messages = "", []byte(strings.Replace(media, `}]}]`, `}],"Content":"Look"}]`, 1))
		}, 1048576*3/10 + 8192*5/2},
		"the cheapest providers": {further(`{"provider":{"sort":"price"}}`), 8192 * 5 / 2},
		"a dear beside": {func(r *events.Request) {
			r.Model = "google/gemini-2.5-flash-lite"
			further(`{"models":["google/gemini-2.5-flash"]}`)(r)
		}, 8192 * 5 / 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBudgeted(t, 10, tenant.Hold, nil)
			r := request("Why?")
			tt.change(&r)
			if reply := b.ask(t, r); reply.Err != nil {
				t.Fatal(reply.Err)
			}
			if _, most, _ := b.books.of(); most < tt.want || most > tt.want+200 {
				t.Errorf("reserved %d, want %d and little more", most, tt.want)
			}
		})
	}
}

// TestWhatFailsIsSettledByHowItEnded: nothing where OpenRouter refused it before any
// answer, all that was reserved where it was cut.
func TestWhatFailsIsSettledByHowItEnded(t *testing.T) {
	t.Parallel()
	for fault, full := range map[string]int64{
		"503": 0, "504 times=1": 1, "408 times=1": 1, "524 times=1": 1, "400": 0, "context_length": 0, "402": 0, "cut after=2": 3, "refuse times=1": 1,
		"no_usage times=1": 1,
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			b := newBudgeted(t, 10, tenant.Hold, nil)
			r := request("Why? [sim:" + fault + "]")
			r.Parameters.MaxOutputTokens = 100_000 / 4
			reply := b.ask(t, r)
			_, most, _ := b.books.of()
			each := int64(100_000/4*5/2) + 30
			if least := full * (each - 30); b.settledBetween(t, least, least+each/2) {
				return
			}
			t.Errorf("spent is not %d times what was reserved (%d at most): %+v", full, most, reply.Err)
		})
	}
}

func (b budgeted) settledBetween(t *testing.T, least, most int64) bool {
	t.Helper()
	spent := b.settled(t)
	t.Logf("spent %d, want %d to %d", spent, least, most)
	return spent >= least && spent <= most
}

// TestWithoutRoomNoCallIsMade: the request goes back to its queue, or fails.
func TestWithoutRoomNoCallIsMade(t *testing.T) {
	t.Parallel()
	for spent, want := range map[tenant.WhenSpent]upstream.Healing{tenant.Hold: upstream.Later, tenant.Fail: upstream.Never} {
		t.Run(string(spent), func(t *testing.T) {
			t.Parallel()
			b := newBudgeted(t, 0.0001, spent, nil)
			reply := b.ask(t, request("Why?"))
			e := reply.Err
			if e == nil || e.Code != events.BudgetExceeded || e.Heals != want || e.GoesBack != (spent == tenant.Hold) || reply.Attempts != 0 || b.router.Count() != 0 {
				t.Fatalf("%+v after %d attempts, %d calls", e, reply.Attempts, b.router.Count())
			}
			if want := "The budget of all tenants together (BUDGET), 0.0001 USD for month-"; !strings.HasPrefix(e.Message, want) {
				t.Errorf("it says %q", e.Message)
			}
			if got := b.settled(t); got != 0 {
				t.Errorf("%d are spent", got)
			}
		})
	}
}

// TestWithoutAPriceNoCallIsMade.
func TestWithoutAPriceNoCallIsMade(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*events.Request)
		code   events.Code
		says   string
	}{
		"not in the catalogue": {func(r *events.Request) { r.Model = "nobody/knows" }, events.ModelUnavailable, "no price of nobody/knows"},
		"a preset":             {func(r *events.Request) { r.Model += "@preset/mine" }, events.InvalidRequest, "a preset"},
		"nitro":                {func(r *events.Request) { r.Model += ":nitro" }, events.InvalidRequest, ":nitro"},
		"online":               {func(r *events.Request) { r.Model += ":online" }, events.InvalidRequest, ":online"},
		"plugins":              {further(`{"plugins":[{"id":"web"}]}`), events.InvalidRequest, "plugins"},
		"priority":             {further(`{"service_tier":"priority"}`), events.InvalidRequest, "the tier priority"},
		"priority endpoints":   {further(`{"provider":{"only":["google-vertex/priority"]}}`), events.InvalidRequest, "priority"},
		"server tools":         {further(`{"tools":[{"type":"openrouter:web_search"}]}`), events.InvalidRequest, "a tool of the server"},
		"a hidden server tool": {further(`{"tools":[{"type":"openrouter:web_search","Type":"function"}]}`), events.InvalidRequest, "a tool of the server"},
		"an escaped tier":      {further(`{"provider":{"order":["google-vertex/priorit\u0079"]}}`), events.InvalidRequest, "priority"},
		"fast providers":       {further(`{"provider":{"sort":"throughput"}}`), events.InvalidRequest, "provider.sort"},
		"near providers":       {further(`{"provider":{"sort":{"by":"latency"}}}`), events.InvalidRequest, "provider.sort"},
		"two suffixes":         {func(r *events.Request) { r.Model += ":floor:nitro" }, events.InvalidRequest, ":nitro"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBudgeted(t, 10, tenant.Hold, nil)
			r := request("Why?")
			tt.change(&r)
			e := b.ask(t, r).Err
			if e == nil || e.Code != tt.code || e.Heals != upstream.Never || !strings.Contains(e.Message, tt.says) || b.router.Count() != 0 {
				t.Errorf("%+v, %d calls", e, b.router.Count())
			}
		})
	}
}

// TestWhileTheCatalogueIsAwayNoCallIsMade, and the request comes again soon.
func TestWhileTheCatalogueIsAwayNoCallIsMade(t *testing.T) {
	t.Parallel()
	b := newBudgeted(t, 10, tenant.Hold, func(c *config.Config) {
		behindCatalogue(t, c, func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusBadGateway); return true })
	})
	reply := b.ask(t, request("Why?"))
	if e := reply.Err; e == nil || !e.GoesBack || e.Code != events.UpstreamUnavailable || !strings.Contains(e.Message, "The price of google/gemini-2.5-flash is not known yet") || b.router.Count() != 0 {
		t.Errorf("%+v, %d calls", e, b.router.Count())
	}
}

// TestAnAnswerOfTheCacheCostsNothing.
func TestAnAnswerOfTheCacheCostsNothing(t *testing.T) {
	t.Parallel()
	b := newBudgeted(t, 10, tenant.Hold, nil)
	r := request("Why?")
	r.CacheTTL = new(60)
	one := b.ask(t, r)
	if two := b.ask(t, r); one.Err != nil || two.Err != nil || !two.Usage.Cached {
		t.Fatalf("%v, %v", one.Err, two.Err)
	}
	if spent := b.settled(t); spent != budget.Micros(*one.Usage.Cost) {
		t.Errorf("spent %d, the first cost %v", spent, *one.Usage.Cost)
	}
}

// TestACancelledCallSettlesWhenItEnds (CANCEL_WAITS), and without that in full at once.
func TestACancelledCallSettlesWhenItEnds(t *testing.T) {
	t.Parallel()
	for _, waits := range []bool{true, false} {
		t.Run(fmt.Sprint(waits), func(t *testing.T) {
			t.Parallel()
			b := newBudgeted(t, 10, tenant.Hold, func(c *config.Config) { c.CancelWaits = waits })
			ctx, cancel := context.WithCancelCause(t.Context())
			r := request("Why? [sim:drip gap=20ms]")
			begun := make(chan struct{}, 100)
			told := make(chan *upstream.Reply, 1)
			go func() { told <- b.Answer(ctx, &r, func(int, string) { begun <- struct{}{} }) }()
			<-begun
			cancel(upstream.ErrCancelled)
			if reply := <-told; reply.Err == nil || reply.Err.Code != events.Cancelled {
				t.Fatalf("%+v", reply.Err)
			}
			if err := b.router.Wait(t.Context(), func(s simulator.Stats) bool { return s.InFlight == 0 }); err != nil {
				t.Fatal(err)
			}
			full := int64(8192 * 5 / 2)
			if waits {
				until(t, func() bool { _, _, held := b.books.of(); return held == 0 })
			}
			if spent := b.settled(t); waits && spent >= full/4 || !waits && spent < full {
				t.Errorf("spent %d; the reservation was %d and more, the call cost %v", spent, full, b.router.Cost())
			}
		})
	}
}

// TestHeld: who answers for the intake.
func TestHeld(t *testing.T) {
	t.Parallel()
	b := newBudgeted(t, 0.03, tenant.Hold, nil)
	release := b.router.Hold()
	one, two := make(chan *upstream.Reply, 1), make(chan *upstream.Reply, 1)
	r := request("Why?")
	go func() { one <- b.Answer(context.WithoutCancel(t.Context()), &r, func(int, string) {}) }()
	until(t, func() bool { return b.router.InFlight() == 1 })
	other := request("Why not?")
	go func() { two <- b.Answer(context.WithoutCancel(t.Context()), &other, func(int, string) {}) }()
	if reply := <-two; reply.Err == nil || !reply.Err.GoesBack || reply.Err.Wait > servicetest.Patience {
		t.Errorf("a call for which there is no room: %+v", reply.Err)
	}
	if again, why := b.Held(""); again <= 0 || again > time.Second || !strings.Contains(why, "calls under way") {
		t.Errorf("held for %s: %q", again, why)
	}
	release()
	if reply := <-one; reply.Err != nil {
		t.Error(reply.Err)
	}
	until(t, func() bool { _, why := b.Held(events.DefaultTenant); return why == "" })
	if !b.Budgeted("acme") {
		t.Error("the budget of all is nobody's")
	}
}
