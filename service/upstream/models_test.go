package upstream

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/telemetry"
)

// The health of each model beside that of OpenRouter: the tests of this file run in
// bubbles.

// here is a catalogue that answers.
func here(r *http.Request) (*http.Response, error) {
	return response(r, http.StatusOK, `{"data":{"id":"m"}}`), nil
}

// stalls sends a piece and nothing more.
func stalls(r *http.Request) (*http.Response, error) {
	body, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":"hel"}}]}`+"\n\n")
		<-r.Context().Done()
		_ = w.CloseWithError(r.Context().Err())
	}()
	re := response(r, http.StatusOK, "")
	re.Body = body
	return re, nil
}

// many makes calls for a model, all at once, and returns how they ended.
func (p testCaller) many(t *testing.T, n int, model string) (replies []Reply) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range n {
		wg.Go(func() {
			re := p.askFor(t.Context(), model)
			mu.Lock()
			defer mu.Unlock()
			replies = append(replies, re)
		})
	}
	wg.Wait()
	return replies
}

// sicken opens the breaker of a model.
func (p testCaller) sicken(model string) {
	for range breakerCalls {
		_, _ = failsafe.With[answer](p.models.of(model).breaker).Get(func() (answer, error) { return nil, provided(events.UpstreamUnavailable) })
	}
}

// sick reports whether a model has been left alone, and has not recovered.
func (p testCaller) sick(model string) bool { return p.models.of(model).breaker.openings.Load() > 0 }

// Whom a failure is about, a model or OpenRouter, and so who is left alone after 20
// of them.
func TestWhoseFault(t *testing.T) {
	t.Parallel()
	answers, silent := true, false
	tests := map[string]struct {
		fault      reaction
		other      bool     // another model answers
		catalogue  reaction // nil: refuses
		model, all bool     // is left alone
	}{
		"a provider's 502":                   {with(502, `"metadata":{"provider_name":"Google"}`, 0), silent, nil, true, false},
		"502 of OpenRouter":                  {status(502), silent, nil, false, true},
		"502 of OpenRouter for one model":    {status(502), answers, nil, true, false},
		"no connection":                      {refuse, silent, nil, false, true},
		"cut streams":                        {cut, silent, nil, false, true},
		"cut streams of one model":           {cut, answers, nil, true, false},
		"no answer, no catalogue":            {hang, silent, nil, false, true},
		"no answer, the catalogue hangs":     {hang, silent, hang, false, true},
		"no answer, the catalogue is a page": {hang, silent, status(502), false, true},
		"no answer, the catalogue is there":  {hang, silent, here, true, false},
		"no answer, the key is not known":    {hang, silent, status(401), true, false},
		"no answer of one model":             {hang, answers, nil, true, false},
		"silence after a piece":              {stalls, silent, here, true, false},
		"429":                                {busy, silent, nil, false, false},
		"400":                                {status(400), answers, nil, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &modelRouter{}
				m.tell("a", tt.fault)
				p, up := newTestCaller(t, func(c *config.Config) { c.TokenGapTimeout = 30 * time.Second }, m.react)
				up.catalogue = tt.catalogue
				ctx, stop := context.WithCancel(t.Context())
				var others sync.WaitGroup
				others.Go(func() {
					for tt.other && ctx.Err() == nil {
						_ = p.askFor(ctx, "b")
						_ = sleep(ctx, time.Second)
					}
				})
				_ = sleep(t.Context(), time.Millisecond)
				for range breakerCalls {
					go func() { _ = p.askFor(ctx, "a") }()
				}
				_ = sleep(t.Context(), 2*callTime+2*pingTimeout+4*time.Second)
				stop()
				others.Wait()
				synctest.Wait()
				if all := p.breaker.openings.Load() > 0; p.sick("a") != tt.model || all != tt.all {
					t.Errorf("left alone: the model %v, OpenRouter %v, want %v, %v", p.sick("a"), all, tt.model, tt.all)
				}
				if p.sick("b") {
					t.Error("another model is left alone")
				}
			})
		})
	}
}

// A sick model's requests are rescheduled, or ask a fallback; others are answered,
// the intake goes on, and a few probes show that the model has recovered.
func TestSickModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("a", with(502, `"metadata":{"provider_name":"Google"}`, 0))
		p, _ := newTestCaller(t, func(c *config.Config) { c.RetryWaitMax = 0 }, m.react)
		p.sicken("a")
		if wait, why := p.Pause(); wait != 0 {
			t.Errorf("pause: got %v, %q, want none", wait, why)
		}
		for _, re := range p.many(t, 100, "a") {
			checkReply(t, re, events.UpstreamUnavailable)
			if re.Attempts != 0 || re.Err.Heals != Later || re.Err.Wait < modelLater || re.Err.Wait > 2*breakerDelay {
				t.Errorf("got %d attempts, %+v, want none, and later, soon after %v", re.Attempts, re.Err, breakerDelay)
			}
		}
		if s := p.Status(); len(s.Models) != 1 || s.Models[0].Model != "a" || s.Models[0].State != "open" || !s.Models[0].Until.Equal(time.Now().Add(breakerDelay)) || s.Breaker != "closed" {
			t.Errorf("status: got %+v, want the model, open", s)
		}
		checkReply(t, p.askFor(t.Context(), "b"), "")
		checkReply(t, p.askFor(t.Context(), "a", "a", "c"), "")
		if got := m.calls(); len(got) != 2 || got[1].Model != "c" {
			t.Errorf("calls: got %+v, want the fallback", got)
		}
		m.tell("a", ok)
		_ = sleep(t.Context(), breakerDelayMax)
		for range probeSuccesses {
			checkReply(t, p.askFor(t.Context(), "a"), "")
		}
		if s := p.models.states(); s["a"] != telemetry.BreakerClosed || len(s) != 3 {
			t.Errorf("states: got %v, want three that are closed", s)
		}
	})
}

// How long a model is left alone: as OpenRouter is. The longer, the further apart its
// requests come back.
func TestSickModelDelays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("a", with(501, `"metadata":{"provider_name":"Google"}`, 0))
		p, _ := newTestCaller(t, func(c *config.Config) { c.RetryWaitMax = 0 }, m.react)
		p.sicken("a")
		for i, seconds := range []int{5, 10, 20, 40, 60, 60} {
			if got, want := p.models.of("a").breaker.RemainingDelay(), time.Duration(seconds)*time.Second; got != want {
				t.Fatalf("opened %d times: got a delay of %v, want %v", i+1, got, want)
			}
			if got, want := p.models.of("a").spread(), breakerDelay<<i; got != want {
				t.Errorf("opened %d times: got a spread of %v, want %v", i+1, got, want)
			}
			_ = sleep(t.Context(), p.models.of("a").breaker.RemainingDelay())
			p.many(t, probeSuccesses, "a")
		}
	})
}

// A prompt that times out says nothing new about its model when it does so again.
func TestTimeoutsOfOnePrompt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("a", hang)
		p, up := newTestCaller(t, nil, m.react)
		up.catalogue = here
		for range 3 { // deliveries
			var wg sync.WaitGroup
			for range 2 * breakerCalls {
				wg.Go(func() {
					c := &call{caller: p.Caller, event: &events.Request{}, request: question(), piece: ignore, start: time.Now(), suspect: timedOutBefore(WithTimedOut(t.Context()))}
					c.request.Model = "a"
					p.do(t.Context(), c)
					re := c.reply
					checkReply(t, re, events.UpstreamTimeout)
					if re.Attempts != 1+timeoutRetries || !re.TimedOut || re.Err.Heals != Later {
						t.Errorf("got %d attempts, %+v, want %d, and later", re.Attempts, re.Err, 1+timeoutRetries)
					}
				})
			}
			wg.Wait()
		}
		if p.sick("a") || !p.breaker.IsClosed() {
			t.Error("prompts that have timed out before stop others")
		}
		if up.lookups > 2*3 {
			t.Errorf("OpenRouter was asked %d times whether it is there, want once a round", up.lookups)
		}
	})
}

// Requesters name the models: what is kept of them is bounded, and a sick one is not
// forgotten for the sake of names.
func TestModelsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newModels(quiet(t))
		m.of("sick").breaker.Open()
		for n := range 10 * maxModels {
			_ = sleep(t.Context(), time.Millisecond)
			m.of(fmt.Sprint("name-", n))
		}
		if len(m.all) != maxModels || m.all["sick"] == nil {
			t.Errorf("got %d models, the sick one %v, want %d with it", len(m.all), m.all["sick"], maxModels)
		}
		for _, one := range m.all {
			one.breaker.Open()
		}
		m.of("one more")
		if len(m.all) != maxModels || m.all["one more"] == nil {
			t.Errorf("all are sick: got %d, want %d with the new one", len(m.all), maxModels)
		}
	})
}

// A panic in a probe gives its place back.
func TestModelProbePanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := newTestCaller(t, nil, ok)
		p.models.of("m").breaker.Open()
		_ = sleep(t.Context(), breakerDelay)
		for range probes {
			func() {
				defer func() { _ = recover() }()
				p.run(t.Context(), func(int, string) { panic("boom") })
			}()
		}
		re := p.ask(ending(t, time.Minute))
		checkReply(t, re, "")
	})
}
