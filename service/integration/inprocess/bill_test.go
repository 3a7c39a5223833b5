package inprocess_test

import (
	"cmp"
	"errors"
	"math"
	"net/http"
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// billed checks that a result tells all that was billed so far, over attempts and
// deliveries.
func (b *bench) billed(got servicetest.Stored) {
	b.t.Helper()
	var prompt, completion int
	var want float64
	for _, c := range b.openrouter.Calls() {
		if c.Status == http.StatusOK && c.Fault != "hang" { // of others it tells nothing
			prompt, completion, want = prompt+c.PromptTokens, completion+c.CompletionTokens, want+c.Cost
		}
	}
	r := got.Result
	if r.Cost == nil || math.Abs(*r.Cost-want) > 1e-12 || want == 0 {
		b.t.Errorf("cost of %d calls: want %v in the result %s", b.openrouter.Count(), want, got.Body)
	}
	if u := r.Usage; u == nil || u.PromptTokens != prompt || u.CompletionTokens != completion || u.TotalTokens != prompt+completion {
		b.t.Errorf("usage of %d calls: want %d and %d tokens in the result %s", b.openrouter.Count(), prompt, completion, got.Body)
	}
}

// A result tells what its request cost in all: attempts that brought nothing and
// earlier deliveries were billed too.
func TestResultTellsTheWholeBill(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prompt string
		calls  int
		status events.Status
	}{
		"two attempts before the answer":    {"one delivery [sim:empty times=2]", 3, events.StatusSuccess},
		"a delivery before the answer":      {"two deliveries [sim:empty times=4]", 5, events.StatusSuccess},
		"two deliveries before the answer":  {"three deliveries [sim:empty times=7]", 8, events.StatusSuccess},
		"every retry without an answer":     {"never [sim:empty]", 9, events.StatusError},
		"an unbilled attempt at the end":    {"ends with a refusal [sim:empty times=4] [sim:context_length]", 5, events.StatusError},
		"an unbilled delivery in between":   {"a hole [sim:empty times=1] [sim:503 times=3] [sim:empty times=1]", 6, events.StatusSuccess},
		"an answer that a filter withholds": {"filtered [sim:empty times=1] [sim:content_filter]", 2, events.StatusError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, quick)
			b.start()
			got := b.Result(b.Ask(c.prompt, nil))
			b.billed(got)
			if n := b.openrouter.Count(); got.Result.Status != c.status || n != c.calls {
				t.Errorf("%d calls and the result %s: want %d and %s", n, got.Body, c.calls, c.status)
			}
		})
	}
}

// What was billed before a worker stopped is on the bill that its successor
// writes.
func TestBillSurvivesAStop(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.ShutdownTimeout = 0 })
	first := b.start()
	id := b.Ask("goes on elsewhere [sim:empty times=1] [sim:hang times=1]", nil)
	if err := b.openrouter.Wait(b.Context(), func(s simulator.Stats) bool { return s.Started == 2 }); err != nil {
		t.Fatal(err)
	}
	if err := first.stop(); !errors.Is(err, service.ErrCut) {
		t.Fatalf("stop: got %v, want ErrCut", err)
	}
	b.start()
	got := b.Result(id)
	b.billed(got)
	if got.Result.RetryCount != 0 || got.Result.Status != events.StatusSuccess {
		t.Errorf("result: %s: want a success without a retry counted", got.Body)
	}
}

// A waiting request that is cancelled has been paid for so far.
func TestCancelledWaitTellsItsBill(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.RetryDelays = []int{3600} })
	b.start()
	id := b.Ask("waits [sim:empty]", nil)
	b.Until("it waits", func() (string, bool) {
		return "", b.stream(b.Names.RetriesStream()).Msgs == 1 && b.stream(b.Names.RequestsStream()).Msgs == 0
	})
	if err := b.NC.Publish(b.Names.Cancel(id), nil); err != nil {
		t.Fatal(err)
	}
	got := b.Result(id)
	b.billed(got)
	if got.Result.ErrorCode == nil || *got.Result.ErrorCode != events.Cancelled {
		t.Errorf("result: %s: want cancelled", got.Body)
	}
}

// A requester cannot write on the bill.
func TestBillOfARequesterIsIgnored(t *testing.T) {
	t.Parallel()
	b := setup(t, quick)
	b.start()
	for _, name := range []string{"Gemini-Billed", "gemini-billed"} {
		id := servicetest.NewID()
		b.Publish(servicetest.Body(id, "forged "+name+" [sim:503 times=3] [sim:cost_zero]", nil), nats.Header{name: {`{"cost":99,"usage":{"prompt_tokens":1000000}}`}})
		got := b.Result(id)
		if got.Result.Cost == nil || *got.Result.Cost != 0 || got.Result.Usage == nil || got.Result.Usage.PromptTokens > 1000 {
			t.Errorf("result: %s: want cost 0", got.Body)
		}
	}
}

// A result names the key of the last call that was paid for, whatever other keys were
// tried before and after it, in this delivery or an earlier one.
func TestResultNamesTheKeyThatPaid(t *testing.T) {
	t.Parallel()
	b := setup(t, quick, func(c *config.Config) { c.APIKeys = config.List{servicetest.Key + "-1", servicetest.Key + "-2"} })
	b.start()
	for _, prompt := range []string{
		"one key is limited [sim:429 key=-1 retry_after=1]",
		"the other one is [sim:429 key=-2 retry_after=1]",
		"earlier attempts cost something [sim:empty times=2]",
		"only an earlier delivery did [sim:empty times=1] [sim:503 times=2] [sim:context_length]",
		"none did [sim:503]",
	} {
		got := b.Result(b.Ask(prompt, nil))
		last, paid := "", ""
		for _, c := range b.openrouter.Calls() {
			if c.Prompt == prompt {
				if last = c.Key[len(c.Key)-4:]; c.Cost > 0 {
					paid = last
				}
			}
		}
		if want, key := cmp.Or(paid, last), got.Header.Get(events.HeaderKey); key != want || want == "" {
			t.Errorf("%s: the key is %q, want %q", prompt, key, want)
		}
	}
	if got := b.Result(b.Ask("", nil)); got.Header[events.HeaderKey] != nil {
		t.Errorf("no call was made, and a key is named: %v", got.Header)
	}
}
