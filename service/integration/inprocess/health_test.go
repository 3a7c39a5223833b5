package inprocess_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"gemini-client/service"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.start()
	b.Result(b.Ask("hello", nil))
	b.Idle()
	text, ok := r.get("/readyz?verbose")
	var s service.Status
	if err := json.Unmarshal([]byte(text), &s); err != nil || !ok {
		t.Fatalf("readyz?verbose: %s, %v", text, err)
	}
	if len(s.KeyList) != 1 || s.KeyList[0].End != servicetest.Key[len(servicetest.Key)-4:] || s.KeyList[0].State != "usable" || strings.Contains(text, servicetest.Key) {
		t.Errorf("keys: %s", text)
	}
	if !s.Ready || s.Intake != "open" || s.Breaker != "closed" || s.Slots != 100 || s.Keys["usable"] != 1 {
		t.Errorf("status: %+v", s)
	}
	metrics, ok := r.get("/metrics")
	if !ok {
		t.Fatal("no metrics")
	}
	for _, name := range []string{"gemini_requests_total", "gemini_calls_total", "gemini_slots", "gen_ai_client_operation_duration_seconds_bucket", "messaging_process_duration_seconds_bucket"} {
		if !strings.Contains(metrics, name) {
			t.Errorf("metrics lack %s", name)
		}
	}
	b.nats.Stop()
	b.Until("it is not ready without NATS", func() (string, bool) {
		text, ok := r.get("/readyz")
		return text, !ok && strings.Contains(text, "NATS")
	})
	if text, ok := r.get("/healthz"); !ok {
		t.Errorf("not alive without NATS: %s", text)
	}
	b.nats.Start()
	r.waitReady()
}

// OpenRouter down: the breaker opens, nothing more is taken, the worker stays
// ready, and when OpenRouter is back everything is answered.
func TestOutage(t *testing.T) {
	t.Parallel()
	b := setup(t, quick, func(c *config.Config) { c.Concurrency = 30 }) // a rescheduled request is due soon
	r := b.start()
	fault, err := simulator.ParseFault("503")
	if err != nil {
		t.Fatal(err)
	}
	b.openrouter.SetFault(fault)
	for i := range 200 {
		b.Ask(fmt.Sprint("question ", i), nil)
	}
	b.Until("intake is closed", func() (string, bool) {
		text, ok := r.get("/readyz?verbose")
		return text, ok && strings.Contains(text, `"intake":"circuit breaker open"`)
	})
	b.openrouter.ClearFaults()
	b.Collect(b.Names.ResponsesStream(), "gemini.responses.completed.*", 200)
	b.Idle()
	if results := b.Results(); len(results) != 200 {
		t.Errorf("results: got %d, want 200", len(results))
	}
	log := b.log.String()
	if opened := strings.Count(log, "OpenRouter keeps failing"); opened == 0 || opened > 3 {
		t.Errorf("the log says %d times that OpenRouter fails", opened)
	}
}

// While OpenRouter is tried again with a few calls, those that wait in their slots
// make them: the free slots are not filled with requests that would wait as well.
func TestHalfOpenTakesOnlyProbes(t *testing.T) {
	t.Parallel()
	const first = 20
	b := setup(t, quick)
	r := b.start()
	fault, err := simulator.ParseFault("503")
	if err != nil {
		t.Fatal(err)
	}
	b.openrouter.SetFault(fault)
	for i := range first {
		b.Ask(fmt.Sprint("question ", i), nil)
	}
	b.says("taking no requests: circuit breaker open") // and no pull is open any more
	release := b.openrouter.Hold()
	defer release()
	b.openrouter.ClearFaults()
	for i := range 100 {
		b.Ask(fmt.Sprint("another question ", i), nil)
	}
	b.waitFor(func(s simulator.Stats) bool { return s.Held == 3 })
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for range 20 { // that nothing is taken can only be looked at for a while
		text, _ := r.get("/readyz?verbose")
		var s struct {
			InFlight int `json:"in_flight"`
		}
		if err := json.Unmarshal([]byte(text), &s); err != nil || s.InFlight > first {
			t.Fatalf("while three probes are under way: %v: %s", err, text)
		}
		<-tick.C
	}
	release()
	b.Collect(b.Names.ResponsesStream(), "gemini.responses.completed.*", first+100)
}
