package inprocess_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// fillResults stores results of others until the stream refuses them.
func (b *bench) fillResults() {
	b.t.Helper()
	junk := make([]byte, 200_000)
	for size := len(junk); size > 0; {
		_, err := b.JS.Publish(b.Context(), "gemini.responses.completed."+servicetest.NewID(), junk[:size])
		switch {
		case err == nil:
		case strings.Contains(err.Error(), "maximum bytes exceeded"):
			size /= 4
		default:
			b.t.Fatal(err)
		}
	}
}

// A full results stream drops none. What is called for already waits with its
// result in its slot, and once all slots are taken nothing more is paid; when there is room again
// everything is answered, each with one call.
func TestResultsFull(t *testing.T) {
	t.Parallel()
	const slots, requests = 3, 10
	b := setup(t, func(c *config.Config) { c.ResultsMaxBytes, c.Concurrency = 4<<20, slots })
	b.start()
	first := b.Ask("before", nil)
	b.Result(first)
	b.fillResults()
	full := b.stream(b.Names.ResponsesStream())
	ids := make([]string, requests)
	for i := range ids {
		ids[i] = b.Ask("no room for the answer", nil)
	}
	b.Until("the log says why nothing goes on", func() (string, bool) { // the latter: the numbers were read in between
		text := b.log.String()
		return text, strings.Contains(text, "maximum bytes exceeded") || strings.Contains(text, "taking no requests")
	})
	if n := b.openrouter.Count(); n > 1+slots {
		t.Errorf("calls while there was no room: %d, want at most %d", n, 1+slots)
	}
	if now := b.stream(b.Names.ResponsesStream()); now.Msgs != full.Msgs || now.FirstSeq != full.FirstSeq {
		t.Errorf("results: %+v, want those of before: %+v", now, full)
	}
	s, err := b.JS.Stream(b.Context(), b.Names.ResponsesStream())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(b.Context(), jetstream.WithPurgeSequence(full.LastSeq)); err != nil { // as if they had become old
		t.Fatal(err)
	}
	for _, id := range ids {
		if got := b.Result(id); got.Result.Status != events.StatusSuccess {
			t.Errorf("result: %.200s", got.Body)
		}
	}
	b.Idle()
	if n := b.openrouter.Count(); n != 1+requests {
		t.Errorf("calls: %d, want %d", n, 1+requests)
	}
}

// A service that finds no room for a result takes nothing: not even as many
// requests as it has slots are paid, at each start anew.
func TestNothingIsTakenWhileResultsAreFull(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.ResultsMaxBytes = 4 << 20 })
	b.provision()
	b.fillResults()
	id := b.Ask("no room for the answer", nil)
	r := b.start()
	b.says("taking no requests: the results are nearly as large as RESULTS_MAX_BYTES")
	b.Until("the status says so", func() (string, bool) {
		text, ok := r.get("/readyz?verbose")
		return text, ok && strings.Contains(text, `"intake":"the results are nearly`)
	})
	b.Until("the metrics have the size and its limit", func() (string, bool) {
		text, _ := r.get("/metrics")
		return text, strings.Contains(text, `gemini_queue_limit_bytes{queue="gemini.responses"} 4.194304e+06`) && strings.Contains(text, `gemini_queue_size_bytes{queue="gemini.responses"} 4.19`)
	})
	if n := b.openrouter.Count(); n != 0 {
		t.Errorf("calls: %d", n)
	}
	s, err := b.JS.Stream(b.Context(), b.Names.ResponsesStream())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(b.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.Result(id); got.Result.Status != events.StatusSuccess { // within the time between two readings
		t.Errorf("result: %.200s", got.Body)
	}
}
