package simulator_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/service/openrouter/simulator"
)

// tape is a ResponseWriter that notes when something was written. It is read while the handler is blocked or has ended.
type tape struct {
	*httptest.ResponseRecorder
	began time.Time
	notes []string
}

func (w *tape) WriteHeader(status int) {
	w.notes = append(w.notes, fmt.Sprintf("%v headers %d", time.Since(w.began), status))
	w.ResponseRecorder.WriteHeader(status)
}

func (w *tape) Write(data []byte) (int, error) {
	kind := "event"
	switch text := string(data); {
	case strings.HasPrefix(text, ": "):
		kind = "comment"
	case strings.TrimSpace(text) == "":
		kind = "padding"
	case strings.HasPrefix(text, "{"):
		kind = "json"
	case strings.Contains(text, "[DONE]"):
		kind = "done"
	case strings.Contains(text, `"usage"`):
		kind = "usage"
	case strings.Contains(text, `"finish_reason":"`):
		kind = "finish"
	}
	w.notes = append(w.notes, fmt.Sprintf("%v %s", time.Since(w.began), kind))
	return w.ResponseRecorder.Write(data)
}

func (w *tape) WriteString(text string) (int, error) { return w.Write([]byte(text)) }

// play calls the handler inside a synctest bubble; stop makes the client leave.
func play(t *testing.T, sim *simulator.Simulator, prompt string, stream bool) (w *tape, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/api/v1/chat/completions",
		strings.NewReader(chatBody(prompt, fields{"stream": stream})))
	r.Header.Set("Authorization", "Bearer "+testKey)
	w = &tape{ResponseRecorder: httptest.NewRecorder(), began: time.Now()}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		sim.ServeHTTP(w, r)
	}()
	return w, func() {
		cancel()
		<-ended
	}
}

func TestPacing(t *testing.T) {
	t.Parallel()
	three := func(simulator.Prompt) string { return strings.Repeat("x", 100) }
	config := simulator.Config{Latency: 1200 * time.Millisecond, TokenInterval: 100 * time.Millisecond, Answer: three}
	const stream = "0s headers 200|0s comment|500ms comment|1s comment|1.2s event|1.3s event|1.4s event|1.5s finish|1.5s usage|1.5s done"
	for name, test := range map[string]struct {
		prompt string
		stream bool
		after  time.Duration // how long to watch
		want   string
	}{
		"stream": {"why?", true, time.Minute, stream},
		"body":   {"why?", false, time.Minute, "0s headers 200|0s padding|500ms padding|1s padding|1.5s json"},
		"empty": {
			"[sim:empty]", true, time.Minute,
			"0s headers 200|0s comment|500ms comment|1s comment|1.2s finish|1.2s usage|1.2s done",
		},
		"drip": {
			"[sim:drip gap=1m]", true, time.Hour,
			"0s headers 200|0s comment|500ms comment|1s comment|1m1s event|2m1s event|3m1s event|3m1.1s finish|3m1.1s usage|3m1.1s done",
		},
		"hang":               {"[sim:hang]", true, 240 * time.Hour, ""},
		"hang for":           {"[sim:hang for=7s]", false, time.Minute, "7s headers 200|7s padding|7.5s padding|8s padding|8.5s json"},
		"hang after headers": {"[sim:hang_after_headers]", true, 240 * time.Hour, "0s headers 200"},
		"stall":              {"[sim:stall]", true, 240 * time.Hour, "0s headers 200|0s comment|500ms comment|1s comment|1.2s event|1.3s event"},
		"stall body":         {"[sim:stall]", false, 240 * time.Hour, "0s headers 200|0s padding|500ms padding|1s padding"},
		"comments": {
			"[sim:comments after=1 every=10s]", true, 35 * time.Second,
			"0s headers 200|0s comment|500ms comment|1s comment|1.2s event|11.2s comment|21.2s comment|31.2s comment",
		},
		"endless padding": {
			"[sim:comments every=10s]", false, 22 * time.Second,
			"0s headers 200|0s padding|500ms padding|1s padding|11s padding|21s padding",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sim := simulator.New(config)
				w, stop := play(t, sim, test.prompt, test.stream)
				<-time.After(test.after)
				synctest.Wait()
				got := strings.Join(w.notes, "|")
				if got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
				stop()
			})
		})
	}
}

func TestACancelledCallIsBilledWhole(t *testing.T) {
	t.Parallel()
	config := simulator.Config{
		Latency: time.Second, TokenInterval: time.Second, GenerationDelay: 10 * time.Second,
		Answer: func(simulator.Prompt) string { return strings.Repeat("x", 100) },
	}
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(config)
		_, stop := play(t, sim, "why?", true)
		<-time.After(2500 * time.Millisecond)
		synctest.Wait()
		if sim.InFlight() != 1 || sim.Cost() != 0 || sim.Stats().Answering != 1 || sim.Calls()[0].Status != 200 {
			t.Errorf("in the middle: %+v, %+v", sim.Stats(), sim.Calls()[0])
		}
		stop()
		c := sim.Calls()[0]
		if c.Outcome != simulator.OutcomeCancelled || c.CompletionTokens != 25 || c.Cost != 0.0000628 || sim.Cost() != c.Cost {
			t.Errorf("cancelled: %+v", c)
		}
		if s := sim.Stats(); s.InFlight != 0 || s.Ended != 1 || s.Answering != 0 {
			t.Errorf("afterwards: %+v", s)
		}
		// Left after 2.5 of 4 seconds; the generation runs on for 1.5, and is known 10 later.
		for _, test := range []struct {
			after time.Duration
			want  int
		}{{0, 404}, {11 * time.Second, 404}, {12 * time.Second, 200}} {
			if got := generationAfter(t, sim, c, test.after); got != test.want {
				t.Errorf("generation %v after the cancel: got %d, want %d", test.after, got, test.want)
			}
		}
	})
}

// generationAfter asks for the generation of a call so long after the call's end.
func generationAfter(t *testing.T, sim *simulator.Simulator, c simulator.Call, wait time.Duration) int {
	t.Helper()
	<-time.After(time.Until(c.Ended.Add(wait)))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/generation?id="+c.GenerationID, nil)
	r.Header.Set("Authorization", "Bearer "+testKey)
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, r)
	return w.Code
}

func TestWhatIsBilledOfACallThatNeverEnds(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]struct {
		status int
		billed bool
	}{
		"hang":               {0, false},
		"hang_after_headers": {200, false},
		"comments":           {200, false},
		"comments after=1":   {200, true},
		"stall":              {200, true},
		"drip gap=1h":        {200, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			sim := simulator.New(simulator.Config{})
			_, stop := play(t, sim, "why? [sim:"+fault+"]", true)
			synctest.Wait()
			stop()
			c := sim.Calls()[0]
			name, _, _ := strings.Cut(fault, " ")
			if c.Outcome != simulator.OutcomeCancelled || c.Fault != name || c.Status != want.status || (c.Cost > 0) != want.billed {
				t.Errorf("%s: got %+v", fault, c)
			}
		})
	}
}

// spy reads the state of the simulator at every write.
type spy struct {
	*httptest.ResponseRecorder
	look func(data string)
}

func (w spy) WriteString(data string) (int, error) {
	w.look(data)
	return w.ResponseRecorder.WriteString(data)
}

func TestACallHasEndedBeforeItsLastBytes(t *testing.T) {
	t.Parallel()
	sim := simulator.New(simulator.Config{})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/chat/completions",
		strings.NewReader(chatBody("why?", fields{"stream": true})))
	r.Header.Set("Authorization", "Bearer "+testKey)
	sim.ServeHTTP(spy{httptest.NewRecorder(), func(data string) {
		last := strings.Contains(data, "[DONE]")
		if ended := sim.Calls()[0].Outcome == simulator.OutcomeCompleted; ended != last {
			t.Errorf("before %q: ended is %v", data, ended)
		}
	}}, r)
}

// BenchmarkStream is what one streamed call costs the simulator itself, so that measurements against it can be judged.
func BenchmarkStream(b *testing.B) {
	sim := simulator.New(simulator.Config{History: 1})
	body := chatBody("why?", fields{"stream": true})
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/api/v1/chat/completions", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+testKey)
		sim.ServeHTTP(httptest.NewRecorder(), r)
	}
}
