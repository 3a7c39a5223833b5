package inprocess_test

import (
	"testing"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
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
