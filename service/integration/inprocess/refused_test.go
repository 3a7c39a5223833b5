package inprocess_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// limit sets the max_msg_size of a stream; -1 is none.
func (b *bench) limit(stream string, size int32) {
	b.t.Helper()
	c := b.mustStream(stream).CachedInfo().Config
	c.MaxMsgSize = size
	if _, err := b.JS.UpdateStream(b.Context(), c); err != nil {
		b.t.Fatal(err)
	}
}

// The results' max_msg_size is below the smallest failed event: a request is called
// once, kept as a dead letter and settled, whatever its verdict was.
func TestNoResultFits(t *testing.T) {
	t.Parallel()
	for name, prompt := range map[string]string{
		"completed": "hello", "with reasoning": "[sim:reasoning]", "failed": "[sim:model_deprecated]", "invalid": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *config.Config) { c.Concurrency = 1 })
			b.start()
			b.limit(b.Names.ResponsesStream(), 100)
			id := b.Ask(prompt, map[string]any{"metadata": map[string]any{"a": 1}})
			b.Idle()
			letters := b.Stored(b.Names.DeadlettersStream())
			if len(letters) != 1 || !strings.HasSuffix(letters[0].Subject, "."+id) || !strings.Contains(string(letters[0].Body), `"a":1`) {
				t.Errorf("dead letters: %v", letters)
			}
			calls := 1
			if prompt == "" {
				calls = 0
			}
			if n := b.openrouter.Count(); n != calls {
				t.Errorf("calls: got %d, want %d", n, calls)
			}
			if n := strings.Count(b.log.String(), "no result of a request can be stored"); n != 1 || !strings.Contains(b.log.String(), `"level":"ERROR"`) {
				t.Errorf("the log says it %d times", n)
			}
			b.limit(b.Names.ResponsesStream(), -1)
			b.Result(b.Ask("the next one", nil))
		})
	}
}

// The dead letters' max_msg_size is below a message that has no id: the message
// stays in its queue, and its slot is free. A request that has an id is answered.
func TestNoDeadLetterFits(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.Concurrency = 1 })
	b.start()
	b.limit(b.Names.DeadlettersStream(), 100)
	b.Publish([]byte(`{"prompt":"`+strings.Repeat("no id ", 100)+`"}`), nats.Header{"X": {"y"}})
	b.says("can be neither answered nor kept")
	if got := b.Result(b.Ask("[sim:model_deprecated]"+strings.Repeat(" long", 100), nil)); got.Result.Status != events.StatusError {
		t.Errorf("result: %s", got.Body)
	}
	b.Result(b.Ask("a neighbour", nil))
	b.Until("only the message that could not be kept is left", func() (string, bool) {
		n := b.stream(b.Names.RequestsStream()).Msgs
		return fmt.Sprint(n), n == 1
	})
	b.says("its original is not kept")
}

// A request that fits into the retries as a schedule, but not as the message that
// this becomes, would be dropped by the server when it fires. It fails at once.
func TestScheduleFitsButNotWhatItFires(t *testing.T) {
	t.Parallel()
	id := servicetest.NewID()
	body := servicetest.Body(id, "[sim:503 times=3]", nil)
	for spare, status := range map[int32]events.Status{208: events.StatusError, 250: events.StatusSuccess} {
		b := setup(t, quick)
		b.provision()
		b.limit(b.Names.RetriesStream(), int32(len(body))+spare)
		b.start()
		b.Publish(body, nil)
		got := b.Result(id)
		if got.Result.Status != status || status == events.StatusError && !strings.Contains(*got.Result.Error, "could not be rescheduled") {
			t.Errorf("%d bytes more than the body: %s", spare, got.Body)
		}
		b.Idle()
	}
}

// NATS refuses to have requests claimed: they stay in their queue, are not called
// for, and hold no slot.
func TestClaimsAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.Concurrency = 1 })
	r := b.start()
	b.limit(b.Names.ClaimsStream(), 60)
	for range 3 {
		b.Ask("hello", nil)
	}
	b.says("NATS refuses to have them claimed")
	b.Until("no slot is in use", func() (string, bool) {
		text, _ := r.get("/readyz?verbose")
		return text, strings.Contains(text, `"in_flight":0,`)
	})
	if n := b.stream(b.Names.RequestsStream()).Msgs; n != 3 || b.openrouter.Count() != 0 {
		t.Errorf("%d requests and %d calls, want 3 and none", n, b.openrouter.Count())
	}
}

// A stream that was deleted, as one that is full, is an outage: the result waits
// until the stream is back.
func TestResultsDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	release := b.openrouter.Hold()
	defer release()
	id := b.Ask("hello", nil)
	b.Until("it is called for", func() (string, bool) { return "", b.openrouter.InFlight() == 1 })
	config := b.mustStream(b.Names.ResponsesStream()).CachedInfo().Config
	if err := b.JS.DeleteStream(b.Context(), config.Name); err != nil {
		t.Fatal(err)
	}
	release()
	b.says("NATS does not answer")
	if _, err := b.JS.CreateStream(b.Context(), config); err != nil {
		t.Fatal(err)
	}
	if got := b.Result(id); got.Result.Status != events.StatusSuccess {
		t.Errorf("result: %s", got.Body)
	}
	b.Idle()
	if n := b.openrouter.Count(); n != 1 {
		t.Errorf("calls: got %d, want 1", n)
	}
}

func (b *bench) mustStream(name string) jetstream.Stream {
	b.t.Helper()
	s, err := b.JS.Stream(b.Context(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}
