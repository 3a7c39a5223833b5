package batch_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/batch"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

func TestMain(m *testing.M) { servicetest.VerifyTestMain(m) }

// bench is a runner before an embedded NATS and the simulator.
type bench struct {
	*batch.Runner
	*requests
	t      *testing.T
	bus    *bus.Bus
	nats   *servicetest.NATS
	router *servicetest.OpenRouter
}

// requests are those that wait, and what became of them.
type requests struct {
	read   func(nth int) (waits bool) // is told of each read; nil: all wait
	answer func(id string) error      // is asked before each answer; nil: none fails

	mu       sync.Mutex
	budgeted bool
	n        int
	prompts  map[string]string // by id
	answered map[string]bool
	returned map[string]events.Code
}

func (r *requests) Read(_ context.Context, _ string, i batch.Item) (events.Request, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	waits := r.read == nil || r.read(r.n)
	return events.Request{ID: i.ID, CallbackQueue: i.Callback, Prompt: r.prompts[i.ID], Model: model, Parameters: events.DefaultParameters()}, waits, nil
}

func (r *requests) Budgeted(string) bool { return r.budgeted }

func (r *requests) Answer(_ context.Context, _ string, i batch.Item, _ upstream.Reply) (bool, error) {
	if r.answer != nil {
		if err := r.answer(i.ID); err != nil {
			return false, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answered[i.ID] = true
	return true, nil
}

func (r *requests) Return(_ context.Context, _ string, i batch.Item, why events.Failure) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.returned[i.ID] = why.Code
	return true, nil
}

const (
	model = "google/gemini-2.5-flash"
	group = "0123456789abcdef"
	job   = group + "-0" // the first of the group
)

func setup(t *testing.T, batches simulator.BatchConfig) *bench {
	t.Helper()
	router, server := servicetest.RunOpenRouter(t, simulator.Config{Batch: batches}), servicetest.RunNATS(t)
	c, _, err := config.Load("", "")
	if err != nil {
		t.Fatal(err)
	}
	c.APIKeys, c.BaseURL, c.NATS.URL, c.FallbackModels = config.List{servicetest.Key}, router.URL, server.URL, nil
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{LogLevel: "DEBUG", LogFormat: "json", Output: &servicetest.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, router: router, nats: server, requests: &requests{prompts: map[string]string{}, answered: map[string]bool{}, returned: map[string]events.Code{}}}
	if b.bus, err = bus.Open(t.Context(), c, tel); err != nil {
		t.Fatal(err)
	}
	caller, err := upstream.New(c, tel)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		caller.Close()
		b.bus.Close()
		if err := tel.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if !b.bus.BatchReady(t.Context()) {
		t.Fatal("no batches")
	}
	b.Runner = batch.New(b.bus, caller, b.requests, 0, tel)
	return b
}

// ask marks a request, and returns its id.
func (b *bench) ask(prompt string) string {
	b.t.Helper()
	return b.askOf(prompt, 100)
}

// askOf is ask, of a request with a body of so many bytes.
func (b *bench) askOf(prompt string, size int) string {
	b.t.Helper()
	id := servicetest.NewID()
	b.prompts[id] = prompt
	m := bus.Mark{Group: group, Callback: "gemini.responses", ID: id, Bytes: size}
	if err := b.bus.Enrol(b.t.Context(), bus.Enrolment{Mark: m, Tick: time.Now().Add(time.Hour)}); err != nil {
		b.t.Fatal(err)
	}
	return id
}

// tick looks after a group or a job once.
func (b *bench) tick(name string) (next time.Time) {
	b.t.Helper()
	next, err := b.Tick(b.t.Context(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return next
}

// finish looks after a job and its parts until nothing is left to do.
func (b *bench) finish(name string) {
	b.t.Helper()
	for !b.tick(name).IsZero() {
		continue
	}
	for _, part := range []string{name + "a", name + "b"} {
		record, err := b.bus.BatchRecord(b.t.Context(), "jobs", part)
		if err != nil {
			b.t.Fatal(err)
		}
		if record.Sequence != 0 {
			b.finish(part)
		}
	}
}
