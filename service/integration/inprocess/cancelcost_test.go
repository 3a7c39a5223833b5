package inprocess_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
)

// cancelled cancels a request whose call is under way and wants its result at once.
func (b *bench) cancelled(id string) {
	b.t.Helper()
	if err := b.NC.Publish(b.Names.Cancel(id), nil); err != nil {
		b.t.Fatal(err)
	}
	if got := b.Result(id); !isCancelled(got.Result) || got.Result.Cost != nil {
		b.t.Errorf("result: %s", got.Body)
	}
}

func waits(c *config.Config) { c.CancelWaits, c.Concurrency = true, 8 }

// Google runs on when a stream is cancelled, and bills it. The log says so, and only
// of calls for which it is true.
func TestCancelledCallStillCosts(t *testing.T) {
	t.Parallel()
	for model, costs := range map[string]bool{"google/gemini-2.5-flash": true, "openai/gpt-5": false} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *config.Config) { c.ModelsAllow = config.List{"*/*"} })
			b.start()
			id := b.Ask("slow [sim:stall after=1]", map[string]any{"model": model})
			b.waitFor(func(s simulator.Stats) bool { return s.Answering == 1 })
			b.cancelled(id)
			b.waitFor(func(s simulator.Stats) bool { return s.InFlight == 0 })
			b.says(`"code":"cancelled"`)
			if says := strings.Contains(b.log.String(), `"still_costs":"the provider runs on and bills the whole answer: the cost is not known`); says != costs {
				t.Errorf("the log says that it still costs: %v, want %v", says, costs)
			}
		})
	}
}

// With CANCEL_WAITS the call of a cancelled request goes on to its end, whether it was
// cancelled before or after its first token. The result does not wait, the slot and its
// memory are free, and the cost is counted, logged, and on the span.
func TestCancelledCallIsLetToFinish(t *testing.T) {
	t.Parallel()
	for name, prompt := range map[string]string{"before a token": "why", "in the middle": "slow [sim:drip gap=300ms]"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, waits)
			r := b.start()
			release := func() {}
			if name == "before a token" {
				release = b.openrouter.Hold()
			}
			id := b.Ask(prompt, map[string]any{"stream": true})
			b.waitFor(func(s simulator.Stats) bool { return s.Answering+s.Held == 1 })
			b.cancelled(id)
			b.Until("the slot and its memory are free", func() (string, bool) {
				text, _ := r.get("/metrics")
				return "", strings.Contains(text, "\ngemini_inflight 0\n") && strings.Contains(text, "\ngemini_memory_in_hand_bytes 0\n")
			})
			if n := b.openrouter.InFlight(); n != 1 {
				t.Errorf("calls in flight: %d, want the one that was left behind", n)
			}
			release()
			b.says("the call of a cancelled request has ended")
			call := b.openrouter.Calls()[0]
			if call.Outcome != simulator.OutcomeCompleted && call.Fault != "drip" || call.Outcome == simulator.OutcomeCancelled || call.Cost == 0 {
				t.Errorf("call: outcome %q, cost %v", call.Outcome, call.Cost)
			}
			text, _ := r.get("/metrics")
			for _, want := range []string{
				fmt.Sprintf("gemini_cost_total{gen_ai_request_model=\"google/gemini-2.5-flash\",tenant=\"default\"} %v", call.Cost),
				"gemini_calls_total{gen_ai_request_model=\"google/gemini-2.5-flash\",outcome=\"cancelled\",tenant=\"default\"} 1",
				"\ngemini_memory_in_hand_bytes 0\n",
			} {
				if !strings.Contains(text, want) {
					t.Errorf("metrics: want %s", want)
				}
			}
			for _, want := range []string{fmt.Sprintf(`"cost":%v,"tokens_in":%d,"tokens_out":%d,"request_id":"%s"`, call.Cost, call.PromptTokens, call.CompletionTokens, id), "the call is let to finish"} {
				if !strings.Contains(b.log.String(), want) {
					t.Errorf("log: want %s", want)
				}
			}
			b.Until("the span has the cost", func() (string, bool) {
				for _, span := range b.spans.GetSpans() {
					for _, a := range span.Attributes {
						if a.Key == "openrouter.usage.cost" && a.Value.AsFloat64() == call.Cost {
							return "", true
						}
					}
				}
				return "", false
			})
		})
	}
}

// No more than a quarter of the slots are waited for, and no more than 4 MiB of
// requests: others are cut off.
func TestFewCancelledCallsAreLetToFinish(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		slots, asked, finish int
		prompt               string
	}{
		"many":  {8, 5, 2, "why"},
		"large": {40, 6, 4, strings.Repeat("x", 900_000)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, waits, func(c *config.Config) { c.Concurrency = tt.slots })
			b.start()
			release := b.openrouter.Hold()
			defer release()
			var ids []string
			for range tt.asked {
				ids = append(ids, b.Ask(tt.prompt, nil))
			}
			b.waitFor(func(s simulator.Stats) bool { return s.Held == tt.asked })
			for _, id := range ids {
				b.cancelled(id)
			}
			b.waitFor(func(s simulator.Stats) bool { return s.InFlight == tt.finish })
			b.Until("the log says so of the others", func() (string, bool) {
				n := strings.Count(b.log.String(), "as calls that are waited for take all the room there is")
				return fmt.Sprint(n), n == tt.asked-tt.finish
			})
			release()
			b.waitFor(func(s simulator.Stats) bool { return s.InFlight == 0 })
		})
	}
}

// A call that was left behind does not hold up the end of the process.
func TestStopEndsCancelledCalls(t *testing.T) {
	t.Parallel()
	b := setup(t, waits, func(c *config.Config) { c.ShutdownTimeout = time.Minute })
	r := b.start()
	defer b.openrouter.Hold()()
	id := b.Ask("why", nil)
	b.waitFor(func(s simulator.Stats) bool { return s.Held == 1 })
	b.cancelled(id)
	b.Idle()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Errorf("the service ended with %v", err)
	}
	b.says("the call of a cancelled request has ended: its cost is not known")
}
