package inprocess_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/batch"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// A model may be retired when a batch of it runs. Its requests go on in the ordinary way,
// where another model can answer.
func TestBatchOfARetiredModel(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{}, quick)
	b.start()
	id := b.askBatched("gone [sim:404_gone times=1]", nil)
	strict := b.askBatched("gone as well [sim:404_gone times=1]", map[string]any{"tier_fallback": false})
	if got := b.Result(id).Result; got.Status != events.StatusSuccess {
		t.Errorf("result: %+v", got)
	}
	if got := b.Result(strict).Result; got.ErrorCode == nil || *got.ErrorCode != events.ModelUnavailable {
		t.Errorf("without a fallback: %+v", got)
	}
	b.Idle()
}

// If OpenRouter never says whether it has a batch, the requests go on without it in the end.
func TestBatchIsNeverTold(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{})
	b.openrouter.SetFault(simulator.Fault{Name: "batch_lost"}, simulator.Fault{Name: "batch_refused", Params: map[string]string{"on": "list", "code": "503"}})
	b.start()
	ids := []string{b.askBatched("one", nil), b.askBatched("two", nil)}
	b.Until("it is looked for", func() (string, bool) {
		return b.log.String(), strings.Contains(b.log.String(), "does not tell of its batches")
	})
	long := time.Now().Add(-101 * time.Hour).UTC().Format(time.RFC3339)
	b.rewriteJobs(1, func(body string) string {
		return regexp.MustCompile(`"created":"[^"]*"`).ReplaceAllString(body, `"created":"`+long+`"`)
	})
	for _, id := range ids {
		if got := b.Result(id).Result; got.Status != events.StatusSuccess {
			t.Errorf("result: %+v", got)
		}
	}
	b.Idle()
}

// Batches that OpenRouter does not answer about leave slots to other requests.
func TestBatchesLeaveSlots(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{}, func(c *config.Config) {
		c.Concurrency, c.FirstTokenTimeout, c.ShutdownTimeout = 4, 10*time.Minute, 100*time.Millisecond
	})
	b.openrouter.SetFault(simulator.Fault{Name: "batch_hang"})
	b.start()
	for i := range 4 {
		b.askBatched("waits", map[string]any{"openrouter": map[string]any{"response_format": map[string]any{"type": "text", "n": i}}})
	}
	quiet := 0 // looks in a row at which each tick is in hand, or is put back
	b.Until("all ticks have come", func() (string, bool) {
		later := b.subjects(b.Names.RetriesStream(), b.Names.Later(b.Names.BatchTick(), "*"))
		jobs := b.subjects(b.Names.BatchStream(), b.Names.BatchRecord("jobs", "*"))
		if quiet++; later > 0 || jobs == 0 {
			quiet = 0
		}
		return "", quiet > 30
	})
	if got := b.Result(b.Ask("does not wait", nil)).Result; got.Status != events.StatusSuccess {
		t.Errorf("result: %+v", got)
	}
}

// subjects counts the subjects of a stream that match; none if there is no stream yet.
func (b *bench) subjects(stream, filter string) int {
	b.t.Helper()
	s, err := b.JS.Stream(b.Context(), stream)
	if err != nil {
		return 0
	}
	info, err := s.Info(b.Context(), jetstream.WithSubjectFilter(filter))
	if err != nil {
		return 0
	}
	return len(info.State.Subjects)
}

// A request waits while it is collected and submitted, and while its batch runs: no
// longer, lest nobody remembers it, and no shorter, lest it is paid for twice.
func TestBatchedRequestWaitsLongEnough(t *testing.T) {
	t.Parallel()
	b := batched(t, simulator.BatchConfig{})
	b.start()
	fired := map[time.Duration]string{}
	for _, waited := range []time.Duration{batch.RequestLongest - time.Hour, batch.RequestLongest + time.Hour} {
		id := servicetest.NewID()
		state := events.BatchState{Group: "0123456789abcdef", Since: time.Now().Add(-waited)}
		m := &nats.Msg{
			Subject: b.Names.Retries(), Header: nats.Header{events.HeaderBatch: {state.String()}},
			Data: servicetest.Body(id, "Why?", map[string]any{"tier": "batch", "tier_fallback": false}),
		}
		if _, err := b.JS.PublishMsg(b.Context(), m); err != nil {
			t.Fatal(err)
		}
		fired[waited] = id
	}
	if got := b.Result(fired[batch.RequestLongest+time.Hour]).Result; got.ErrorCode == nil || *got.ErrorCode != events.UpstreamTimeout {
		t.Errorf("waited too long: %+v, want upstream_timeout", got)
	}
	b.Until("the other one waits on", func() (string, bool) {
		return fmt.Sprint(len(b.Results()), " results"), strings.Contains(b.log.String(), `"msg":"request rescheduled"`)
	})
	if n := len(b.Results()); n != 1 {
		t.Errorf("%d results, want 1", n)
	}
}
