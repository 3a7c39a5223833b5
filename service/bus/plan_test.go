package bus

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
)

// plan is what Provision would change now, a line each.
func (b *bench) plan(readers ...QueueConsumer) (lines []string) {
	b.t.Helper()
	plan, err := NewTopology(b.config, b.NC.MaxPayload()).Plan(b.Context(), b.JS, readers)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, change := range plan {
		lines = append(lines, change.String())
	}
	return lines
}

// What was provisioned would not be changed again, and everything that a person changed
// by hand is shown, and goes with Provision.
func TestPlanShowsEveryDifference(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.CallbackAllow = nil })
	reader, err := Reader(b.config, "backend", "")
	if err != nil {
		t.Fatal(err)
	}
	topology := NewTopology(b.config, b.NC.MaxPayload())
	lines := b.plan(reader)
	if len(lines) != len(topology.Streams)+len(topology.Consumers)+1 || !slices.Contains(lines, "stream KV_GEMINI_TENANTS: would be created") || !slices.Contains(lines, "consumer batch_default of GEMINI_REQUESTS: would be created") {
		t.Errorf("on an empty server: %s", strings.Join(lines, "\n"))
	}
	b.provision()
	if _, err := b.JS.PauseConsumer(b.Context(), b.Names.RequestsStream(), Durable, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if len(b.plan()) != 0 {
		t.Fatalf("after provisioning: %s", strings.Join(b.plan(), "\n"))
	}
	change(b, b.Names.RequestsStream(), func(c *jetstream.StreamConfig) {
		c.Subjects, c.Discard, c.Description = append(c.Subjects, "by.hand"), jetstream.DiscardOld, "by hand"
	})
	change(b, b.Names.ResponsesStream(), func(c *jetstream.StreamConfig) {
		c.MaxAge, c.Duplicates, c.Metadata = 200*time.Hour, time.Minute, map[string]string{"team": "a"}
	})
	consumer(b, b.Names.RequestsStream(), func(c *jetstream.ConsumerConfig) { c.AckWait, c.MaxWaiting = time.Minute, 10 })
	lines = b.plan()
	for _, want := range []string{
		"stream GEMINI_REQUESTS: discard: the server has DiscardOld, the configuration wants DiscardNew (harmful: a full queue would drop its oldest request)",
		"stream GEMINI_REQUESTS: description: the server has by hand, the configuration wants requests waiting for a worker",
		"stream GEMINI_REQUESTS: subjects: the server has [by.hand gemini.requests gemini.requests.default.batch], the configuration wants [gemini.requests gemini.requests.default.batch]",
		"stream GEMINI_RESPONSES: max_age: the server has 200h0m0s, the configuration wants 168h0m0s",
		"stream GEMINI_RESPONSES: duplicate_window: the server has 1m0s, the configuration wants 2m0s",
		"stream GEMINI_RESPONSES: metadata: the server has map[team:a], the configuration wants nothing",
		"consumer gemini-client of GEMINI_REQUESTS: ack_wait: the server has 1m0s, the configuration wants 3s",
		"consumer gemini-client of GEMINI_REQUESTS: max_waiting: the server has 10, the configuration wants 512",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("%s\nis not in\n%s", want, strings.Join(lines, "\n"))
		}
	}
	if len(lines) != 8 {
		t.Errorf("%d lines:\n%s", len(lines), strings.Join(lines, "\n"))
	}
}

// holding answers once hold is closed, and tells when it has the first.
func holding(hold <-chan struct{}, held chan<- struct{}, answer func(context.Context, *Delivery)) func(context.Context, *Delivery) {
	return func(ctx context.Context, d *Delivery) {
		signal(held)
		<-hold
		answer(ctx, d)
	}
}

// A deployment of the last release is migrated while requests wait and a worker of that
// release goes on.
func TestMigrationOfTheLastRelease(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.Provision = false })
	asLastRelease(b)
	before := b.open() // binds gemini.requests and the retries alone, as a worker of then does
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	answer := b.answer(before)
	b.run(before, Handlers{Deliver: holding(hold, held, answer)})
	ids := []string{b.Ask("in flight", nil)}
	<-held
	for range 20 {
		ids = append(ids, b.Ask("waits", nil))
	}
	lines := b.plan()
	for _, want := range []string{
		"stream GEMINI_REQUESTS: subjects: the server has gemini.requests, the configuration wants gemini.requests,gemini.requests.default.batch",
		"consumer batch_default of GEMINI_REQUESTS: would be created", "stream KV_GEMINI_TENANTS: would be created",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("%s\nis not in\n%s", want, strings.Join(lines, "\n"))
		}
	}
	if len(lines) != 3 || len(b.plan()) != 3 {
		t.Errorf("a dry run changes something, or shows too much:\n%s", strings.Join(lines, "\n"))
	}
	b.provision()
	if lines := b.plan(); len(lines) != 0 {
		t.Errorf("after provisioning: %s", strings.Join(lines, "\n"))
	}
	close(hold)
	after := b.open()
	b.run(after, Handlers{})
	ids = append(ids, b.Ask("afterwards", nil))
	for _, id := range ids {
		b.Result(id)
	}
	b.Idle()
}
