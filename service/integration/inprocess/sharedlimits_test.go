package inprocess_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
)

// Two services on one queue share the limits of the model and of the key: together they
// make no more calls than the windows of either admit, and every request is answered. The
// key is in no subject.
func TestLimitsOfAllWorkers(t *testing.T) {
	t.Parallel()
	const requests = 60
	b := setup(t, func(c *config.Config) {
		c.KeysMaxPerMinute, c.KeysMaxTokensPerMinute = 1220, 122_000_000 // 10 calls a window
		if err := c.ModelsMaxPerMinute.UnmarshalText([]byte("google/other=1,google/*=2440")); err != nil {
			t.Fatal(err)
		}
	})
	b.start()
	b.start()
	var ids []string
	for range requests {
		ids = append(ids, b.Ask("limited", nil))
	}
	for _, id := range ids {
		if got := b.Result(id); got.Result.Status != events.StatusSuccess {
			t.Errorf("got %+v", got.Result)
		}
	}
	calls := int64(len(b.openrouter.Calls()))
	key, model := b.admitted("key", "requests", 10), b.admitted("model", "requests", 20)
	if tokens := b.admitted("key", "tokens", 1_000_000); calls != requests || calls > key || calls > model || tokens < requests {
		t.Errorf("%d calls for %d requests; the windows admitted %d to the key, %d to the model, and %d tokens", calls, requests, key, model, tokens)
	}
	for _, m := range b.Stored(b.Names.LimitsStream()) {
		if strings.Contains(m.Subject, b.config.APIKeys[0]) {
			t.Errorf("the key is in %s", m.Subject)
		}
	}
}

// admitted is how much the windows of a limit have admitted together.
func (b *bench) admitted(kind, unit string, quota int64) (sum int64) {
	b.t.Helper()
	for _, m := range b.Stored(b.Names.LimitsStream()) {
		var counter struct {
			Value string `json:"val"`
		}
		err := json.Unmarshal(m.Body, &counter)
		total, err2 := strconv.ParseInt(counter.Value, 10, 64)
		if err != nil || err2 != nil {
			b.t.Fatalf("%s: %s", m.Subject, m.Body)
		}
		if part := strings.Split(m.Subject, "."); part[2] == kind && part[4] == unit {
			sum += min(total, quota)
		}
	}
	return sum
}

// Where the stream of the counters is missing and may not be made, each worker has the
// limits for itself. The log says the way out.
func TestLimitsWithoutTheirStream(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.KeysMaxPerMinute = 12_200 })
	b.start().stop()
	if err := b.JS.DeleteStream(b.Context(), b.Names.LimitsStream()); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Fatal(err)
	}
	b.config.Provision = false
	b.start()
	b.Result(b.Ask("alone", nil))
	b.says("limits hold for this worker alone")
}
