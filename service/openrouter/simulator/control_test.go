package simulator_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gemini-client/service/openrouter/simulator"
)

// statuses asks so many times and returns the statuses; 0 is a broken connection.
func (b *bench) statuses(t *testing.T, n int, prompt string) []int {
	t.Helper()
	var got []int
	for range n {
		got = append(got, b.chat(t, prompt, nil).status)
	}
	return got
}

func same(got, want []int) bool { return fmt.Sprint(got) == fmt.Sprint(want) }

func TestMarkersFollowOneAnother(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	prompt := "why? [sim:429 times=2] [sim:refuse times=1] [sim:503 times=1]"
	if got, want := b.statuses(t, 6, prompt), []int{429, 429, 0, 503, 200, 200}; !same(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := b.statuses(t, 1, prompt+" again"); !same(got, []int{429}) {
		t.Errorf("another prompt: got %v, want 429", got)
	}
	if got := b.statuses(t, 3, "always [sim:500]"); !same(got, []int{500, 500, 500}) {
		t.Errorf("without times: got %v, want 500 each time", got)
	}
	if got := b.CountFor(prompt); got != 6 {
		t.Errorf("CountFor: got %d, want 6", got)
	}
}

func TestMarkersDoNotReachTheAnswer(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	got := content(t, b.chat(t, "before [sim:drip gap=0s] after", fields{"stream": true}).body)
	if !strings.Contains(got, "before") || !strings.Contains(got, "after") || strings.Contains(got, "sim:") {
		t.Errorf("answer %q, want the prompt quoted without its marker", got)
	}
	plain := b.chat(t, "before   after", nil)
	marked := b.chat(t, "before [sim:dated] after", nil)
	if a, b := parse[whole](t, plain.body).Usage, parse[whole](t, marked.body).Usage; a != b {
		t.Errorf("usage %+v without a marker, %+v with", a, b)
	}
}

func TestProblemsInMarkersAreNamed(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	for marker, want := range map[string]string{
		"":                           "fault without a name",
		"419":                        `unknown fault \"419\"`,
		"429 retry_after":            `\"retry_after\" is not of the form key=value`,
		"429 retry_after=soon":       "fault 429: retry_after=soon: not a whole number",
		"429 retry_after=-1":         "not a whole number",
		"huge bytes=999999999999":    "not a whole number from 0 to",
		"429 after=1":                `fault 429 has no parameter \"after\"`,
		"drip gap=fast":              "not a duration",
		"cut how=gently":             "not one of reset|close|eof",
		"503 times=0":                "times=0: not a number from 1 on",
		"503 share=1.5":              "share=1.5: not a number above 0 and up to 1",
		"cut how=x times=y after=no": "times=y",
	} {
		got := b.chat(t, "why? [sim:"+marker+"]", nil)
		if got.status != http.StatusBadRequest || !strings.Contains(got.body, want) || !strings.Contains(got.body, "simulator: ") {
			t.Errorf("[sim:%s]: got %d %s, want 400 with %s", marker, got.status, got.body, want)
		}
		if b.last(t).Outcome != simulator.OutcomeInvalid {
			t.Errorf("[sim:%s]: outcome %q", marker, b.last(t).Outcome)
		}
	}
}

func TestServerFaults(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	b.SetFault(simulator.Fault{Name: "503", Times: 1}, simulator.Fault{Name: "429", Params: map[string]string{"retry_after": "6"}})
	if got, want := b.statuses(t, 3, "why?"), []int{503, 429, 429}; !same(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := b.chat(t, "[sim:500]", nil); got.status != 429 || got.header.Get("Retry-After") != "6" {
		t.Errorf("an outage comes before markers: got %d", got.status)
	}
	if got := b.do(t.Context(), http.MethodPost, "/api/v1/chat/completions", "", "{}").status; got != 429 {
		t.Errorf("an outage comes before the key: got %d", got)
	}
	b.SetFault(simulator.Fault{Name: "nonsense"})
	if got := b.chat(t, "why?", nil); got.status != 400 || !strings.Contains(got.body, `unknown fault \"nonsense\"`) {
		t.Errorf("a wrong fault: got %d %s", got.status, got.body)
	}
	b.SetFault(simulator.Fault{Name: "500", Until: time.Now().Add(-time.Second)})
	if got := b.statuses(t, 1, "why?"); !same(got, []int{200}) {
		t.Errorf("after Until: got %v", got)
	}
	b.SetFault(simulator.Fault{Name: "500"})
	b.ClearFaults()
	if got := b.statuses(t, 1, "why?"); !same(got, []int{200}) {
		t.Errorf("after ClearFaults: got %v", got)
	}
}

func TestFaultsOfOneKey(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	b.SetFault(simulator.Fault{Name: "402", Key: "aaaa"})
	for key, want := range map[string]int{"sk-or-v1-aaaa": 402, "sk-or-v1-bbbb": 200} {
		if got := b.do(t.Context(), http.MethodPost, "/api/v1/chat/completions", key, chatBody("why?", nil)).status; got != want {
			t.Errorf("key %s: got %d, want %d", key, got, want)
		}
	}
}

func TestFallbackModels(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	first, second := "google/gemini-2.5-flash", "google/gemini-3.5-flash-lite"
	list := fields{"models": []string{first, second}}
	for prompt, want := range map[string]struct {
		status int
		model  string
	}{
		"why?":                          {200, first},
		"[sim:model_deprecated]":        {200, second + "-20260721"},
		"[sim:503]":                     {503, ""},
		"[sim:503 model=" + first + "]": {200, second + "-20260721"},
		"[sim:503 model=other/model]":   {200, first},
		"[sim:402 model=" + first + "]": {402, ""},
		"[sim:capacity_exhausted]":      {429, ""},
	} {
		got := b.chat(t, prompt, list)
		if got.status != want.status {
			t.Errorf("%s: got %d, want %d: %s", prompt, got.status, want.status, got.body)
		}
		if model := parse[whole](t, got.body).Model; model != want.model {
			t.Errorf("%s: answered by %q, want %q", prompt, model, want.model)
		}
	}
	if got := b.chat(t, "[sim:model_deprecated]", nil); got.status != 404 {
		t.Errorf("without another model: got %d, want 404", got.status)
	}
	unknown := fields{"model": "acme/fake", "models": []string{second}}
	if got := parse[whole](t, b.chat(t, "why?", unknown).body).Model; got != second+"-20260721" {
		t.Errorf("an unknown first model: answered by %q", got)
	}
}

func TestShareAndErrorRateFollowTheSeed(t *testing.T) {
	t.Parallel()
	const calls = 200
	run := func(config simulator.Config, faults ...simulator.Fault) string {
		b := start(t, config)
		b.SetFault(faults...)
		return fmt.Sprint(b.statuses(t, calls, "why?"))
	}
	for name, ask := range map[string]func(seed uint64) string{
		"error rate": func(seed uint64) string { return run(simulator.Config{ErrorRate: 0.25, Seed: seed}) },
		"share": func(seed uint64) string {
			return run(simulator.Config{Seed: seed}, simulator.Fault{Name: "502", Share: 0.25})
		},
	} {
		first := ask(1)
		if ok := strings.Count(first, "200"); ok < calls*65/100 || ok > calls*85/100 {
			t.Errorf("%s: %d of %d calls went well, want about three in four", name, ok, calls)
		}
		if again := ask(1); again != first {
			t.Errorf("%s: the same seed chose other calls", name)
		}
		if other := ask(2); other == first {
			t.Errorf("%s: another seed chose the same calls", name)
		}
		if name == "error rate" {
			for _, status := range []string{"500", "502", "503", "504", "529"} {
				if !strings.Contains(first, status) {
					t.Errorf("no %s in %d calls", status, calls)
				}
			}
		}
	}
}

func TestHoldAndWait(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	release, again := b.Hold(), b.Hold()
	var group sync.WaitGroup
	for i := range 5 {
		group.Go(func() {
			if got := b.chat(t, fmt.Sprint("call ", i), nil); got.status != 429 {
				t.Errorf("got %d, want the fault that was set while it was held", got.status)
			}
		})
	}
	b.await(t, func(s simulator.Stats) bool { return s.Held == 5 })
	if s := b.Stats(); s.Started != 5 || s.InFlight != 5 || s.Ended != 0 || s.Answering != 0 || b.InFlight() != 5 {
		t.Errorf("while held: %+v", s)
	}
	b.SetFault(simulator.Fault{Name: "429"})
	release()
	release()
	if s := b.Stats(); s.InFlight != 5 {
		t.Errorf("after the first release of two: %+v", s)
	}
	again()
	group.Wait()
	if s := b.Stats(); s.Started != 5 || s.InFlight != 0 || s.Held != 0 || s.Ended != 5 || s.Answering != 0 {
		t.Errorf("after the release: %+v", s)
	}
	b.ClearFaults()
	if got := b.chat(t, "after", nil); got.status != 200 {
		t.Errorf("after the release: got %d", got.status)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(context.DeadlineExceeded)
	if err := b.Wait(ctx, func(simulator.Stats) bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's cause", err)
	}
	if err := b.Wait(ctx, func(s simulator.Stats) bool { return s.Started == 0 }); err != nil {
		t.Errorf("got %v, though the fact holds", err)
	}
}

func TestCloseEndsEveryCall(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	b.Hold()
	var group sync.WaitGroup
	ask := func(prompt string) {
		group.Go(func() {
			if got := b.chat(t, prompt, fields{"stream": true}); got.err == nil {
				t.Errorf("%s: got a proper end: %+v", prompt, got)
			}
		})
	}
	ask("held")
	b.await(t, func(s simulator.Stats) bool { return s.Held == 1 })
	b.Close()
	b.Close()
	group.Wait()
	ask("later")
	group.Wait()
	for _, c := range b.Calls() {
		if c.Outcome != simulator.OutcomeClosed {
			t.Errorf("outcome %q, want %q", c.Outcome, simulator.OutcomeClosed)
		}
	}
}

func TestManyCallsAtOnce(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{History: 100})
	const workers, each = 16, 25
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range each {
				prompt := fmt.Sprintf("worker %d call %d", w, i)
				got := b.chat(t, prompt, fields{"stream": i%2 == 0})
				if !strings.Contains(got.body, prompt) || got.status != 200 {
					t.Errorf("%s: got %d %s", prompt, got.status, got.body)
				}
				_ = b.Calls()
				_ = b.CountFor(prompt)
			}
		})
	}
	group.Wait()
	if b.Count() != workers*each || b.InFlight() != 0 || len(b.Calls()) != 100 {
		t.Errorf("%d calls, %d in flight, %d remembered", b.Count(), b.InFlight(), len(b.Calls()))
	}
	for i, c := range b.Calls() {
		if c.Number != workers*each-100+i+1 {
			t.Fatalf("call %d has number %d", i, c.Number)
		}
	}
}
