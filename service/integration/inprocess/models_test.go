package inprocess_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

const sickModel = "google/gemini-sick"

// of is a request for a model.
func of(model string) map[string]any { return map[string]any{"model": model} }

// answered wants an answer for a request.
func (b *bench) answered(id string) {
	b.t.Helper()
	if got := b.Result(id); got.Result.Status != events.StatusSuccess {
		b.t.Errorf("result: %s", got.Body)
	}
}

// waitFor waits until something is known of the simulator's calls.
func (b *bench) waitFor(holds func(simulator.Stats) bool) {
	b.t.Helper()
	if err := b.openrouter.Wait(b.Context(), holds); err != nil {
		b.t.Fatal(err)
	}
}

// What is limited for one model, for an hour or for long answers, keeps this
// model's requests waiting as schedules. Others are answered meanwhile, with the same
// key and in the few slots there are.
func TestOneModelRests(t *testing.T) {
	t.Parallel()
	const limited = 20
	for name, fault := range map[string]simulator.Fault{
		"a provider's limit, relayed": {Name: "429_provider", Params: map[string]string{"retry_after": "3600"}, Model: sickModel},
		"a provider's limit":          {Name: "429", Params: map[string]string{"retry_after": "3600"}, Model: sickModel},
		"all providers at capacity":   {Name: "capacity_exhausted", Params: map[string]string{"retry_after": "3600"}, Model: sickModel},
		"too little credit":           {Name: "402_afford", Params: map[string]string{"tokens": "100"}, Model: sickModel},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *config.Config) { c.Concurrency = 2 })
			b.openrouter.SetFault(fault)
			b.start()
			for range limited {
				b.Ask("limited", of(sickModel))
			}
			b.answered(b.Ask("a neighbour", nil))
			if fault.Name == "402_afford" {
				b.answered(b.Ask("a short answer", map[string]any{"model": sickModel, "parameters": map[string]any{"max_output_tokens": 100}}))
			}
			b.Until("the others wait as schedules", func() (string, bool) {
				return "", b.stream(b.Names.RetriesStream()).Msgs == limited && b.stream(b.Names.RequestsStream()).Msgs == 0
			})
			calls := 0
			for _, c := range b.openrouter.Calls() {
				if c.Model == sickModel && c.Status != 200 {
					calls++
				}
			}
			if calls > 2 { // one of each slot
				t.Errorf("calls for the model: got %d, want no more than slots", calls)
			}
		})
	}
}

// hasty is a configuration whose calls time out soon, and whose retries are due
// soon.
func hasty(c *config.Config) {
	c.FirstTokenTimeout, c.TokenGapTimeout = 1500*time.Millisecond, 1500*time.Millisecond
	c.RetryDelays = []int{1}
}

// A prompt whose answer does not come, or does not go on, is paid for twice in each
// of three deliveries, and then fails with a dead letter. Seven of them stop nobody,
// who asks for the same model.
func TestPromptsThatTimeOut(t *testing.T) {
	t.Parallel()
	for _, marker := range []string{"hang", "hang_after_headers", "stall", "comments every=50ms"} {
		t.Run(marker, func(t *testing.T) {
			t.Parallel()
			b := setup(t, hasty)
			b.start()
			var ids []string
			for range 7 {
				ids = append(ids, b.Ask("never [sim:"+marker+"]", nil))
			}
			b.waitFor(func(s simulator.Stats) bool { return s.Started >= 2*7 })
			b.answered(b.Ask("a neighbour", nil))
			for _, id := range ids {
				got := b.Result(id)
				if got.Result.ErrorCode == nil || *got.Result.ErrorCode != events.UpstreamTimeout || got.Result.RetryCount != 2 || !*got.Result.Retryable {
					t.Errorf("result: %s", got.Body)
				}
				b.Collect(b.Names.DeadlettersStream(), b.Names.Deadletter(events.UpstreamTimeout, id), 1)
			}
			b.answered(b.Ask("another neighbour", nil))
			b.Idle()
			if n := b.openrouter.Count(); n != 7*2*3+2 {
				t.Errorf("calls: got %d, want %d", n, 7*2*3+2)
			}
			for _, sentence := range []string{"OpenRouter keeps failing", "a model keeps failing"} {
				if strings.Contains(b.log.String(), sentence) {
					t.Errorf("the log says: %s", sentence)
				}
			}
		})
	}
}

// Other failures between timeouts do not begin their count anew, and a requester
// cannot count for the service.
func TestTimeoutsAreCountedAcrossDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t, hasty, func(c *config.Config) { c.TimeoutMaxRetries = 1 })
	b.start()
	id := servicetest.NewID()
	b.Publish(servicetest.Body(id, "never [sim:hang times=2] [sim:503 times=3] [sim:stall times=2]", nil), nats.Header{"gemini-timeouts": {"9"}})
	got := b.Result(id)
	if got.Result.ErrorCode == nil || *got.Result.ErrorCode != events.UpstreamTimeout || got.Result.RetryCount != 2 || !strings.Contains(*got.Result.Error, "TIMEOUT_MAX_RETRIES") {
		t.Errorf("result: %s", got.Body)
	}
	b.Idle()
	if n := b.openrouter.Count(); n != 2+3+2 {
		t.Errorf("calls: got %d, want 7", n)
	}
}

// A sick model, whatever it suffers from, stops its own requests. They are answered
// when it has recovered; with a fallback they are answered by that one meanwhile.
func TestSickModel(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"hang", "hang_after_headers", "502", "529", "500", "cut", "refuse"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			b := setup(t, hasty, func(c *config.Config) { c.Concurrency = 20 })
			sick, err := simulator.ParseFault(fault + " model=" + sickModel)
			if err != nil {
				t.Fatal(err)
			}
			b.openrouter.SetFault(sick)
			r := b.start()
			b.answered(b.Ask("before", nil))
			var ids []string
			for range 60 {
				ids = append(ids, b.Ask("sick", of(sickModel)))
			}
			for range 3 {
				b.answered(b.Ask("a neighbour", nil))
			}
			b.says("a model keeps failing")
			b.Until("the metric says so", func() (string, bool) {
				text, _ := r.get("/metrics")
				return "", strings.Contains(text, "gemini_model_breaker_state{gen_ai_request_model=\""+sickModel+"\"} 2") && strings.Contains(text, "\ngemini_breaker_state 0\n")
			})
			b.answered(b.Ask("a fallback", map[string]any{"model": sickModel, "openrouter": map[string]any{"models": []string{"google/gemini-2.5-pro"}}}))
			b.openrouter.ClearFaults()
			for _, id := range ids {
				b.answered(id)
			}
			b.says("a model answers again")
			if strings.Contains(b.log.String(), "OpenRouter keeps failing") {
				t.Error("the whole of OpenRouter was left alone")
			}
		})
	}
}
