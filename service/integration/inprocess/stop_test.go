package inprocess_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
)

// Calls in flight finish after SIGTERM; nothing new is taken.
func TestStopLetsCallsFinish(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.Concurrency = 2 })
	r := b.start()
	release := b.openrouter.Hold()
	defer release()
	for i := range 4 {
		b.Ask(fmt.Sprint("question ", i), nil)
	}
	if err := b.openrouter.Wait(b.Context(), func(s simulator.Stats) bool { return s.InFlight == 2 }); err != nil {
		t.Fatal(err)
	}
	r.cancel()
	b.Until("the service says that it stops", func() (string, bool) {
		text, ok := r.get("/readyz")
		return text, !ok && strings.Contains(text, "stopping")
	})
	release()
	if err := <-r.done; err != nil {
		t.Errorf("Run: got %v, want nil: nothing was cut", err)
	}
	if n := len(b.Results()); n != 2 {
		t.Errorf("results: got %d, want the 2 that were in flight", n)
	}
	if n := b.stream(b.Names.RequestsStream()).Msgs; n != 2 {
		t.Errorf("requests left: got %d, want 2", n)
	}
}

// Calls that do not finish within SHUTDOWN_TIMEOUT are cut, their requests are
// nacked at once, and nothing is published for them.
func TestStopCutsWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.ShutdownTimeout = 100 * time.Millisecond; c.AckWait = time.Minute })
	r := b.start()
	id := b.Ask("too slow [sim:hang times=1]", nil)
	if err := b.openrouter.Wait(b.Context(), func(s simulator.Stats) bool { return s.InFlight == 1 }); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); !errors.Is(err, service.ErrCut) {
		t.Errorf("Run: got %v, want ErrCut", err)
	}
	text, _ := r.get("/metrics") // a deployment is no fault of the service
	if want := `gemini_calls_total{gen_ai_request_model="google/gemini-2.5-flash",outcome="stopping",tenant="default"} 1`; !strings.Contains(text, want) || strings.Contains(text, `error_type="internal"`) {
		t.Errorf("scrape lacks %s, or speaks of an internal error:\n%s", want, text)
	}
	if results := b.Results(); len(results) != 0 {
		t.Errorf("results of a cut call: %s", results[0].Body)
	}
	// The ack wait is a minute: the successor can only answer in time because the
	// message was nacked and its claim released.
	b.start()
	if got := b.Result(id); got.Result.Status != events.StatusSuccess {
		t.Errorf("result: %s", got.Body)
	}
}

// A service that is stopped while it waits for NATS ends at once and well.
func TestStopWhileWaitingForNATS(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.nats.Stop()
	r := b.startUnready()
	b.Until("the log says what is waited for", func() (string, bool) {
		log := b.log.String()
		return log, strings.Contains(log, "NATS is not reachable yet")
	})
	if text, ok := r.get("/readyz"); ok {
		t.Errorf("ready without NATS: %s", text)
	}
	if text, ok := r.get("/healthz"); !ok {
		t.Errorf("not alive: %s", text)
	}
	if err := r.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// The service starts before NATS does.
func TestStartBeforeNATS(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.nats.Stop()
	r := b.startUnready()
	b.nats.Start()
	r.waitReady()
	b.Until("the backend is connected", func() (string, bool) { return b.NC.Status().String(), b.NC.IsConnected() })
	if got := b.Result(b.Ask("hello", nil)); got.Result.Status != events.StatusSuccess {
		t.Errorf("result: %s", got.Body)
	}
}
