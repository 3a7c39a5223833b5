package bus

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

func TestTopologyIsCreatedOnceAndLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	topology := NewTopology(b.config, b.NC.MaxPayload())
	log := &servicetest.Buffer{}
	ensure := func(create bool) error {
		return topology.Ensure(b.Context(), b.JS, create, slog.New(slog.NewTextHandler(log, nil)))
	}
	if err := ensure(false); !errors.Is(err, ErrTopology) || !strings.Contains(err.Error(), "provision") {
		t.Errorf("without streams and without NATS_PROVISION: got %v, want ErrTopology with the way out", err)
	}
	if err := ensure(true); err != nil {
		t.Fatal(err)
	}
	if err := ensure(false); err != nil {
		t.Errorf("the second time: %v", err)
	}
	if log.String() != "" {
		t.Errorf("what was just created differs: %s", log)
	}
	for _, want := range topology.Streams {
		change(b, want.Name, func(c *jetstream.StreamConfig) { c.Description = "changed by hand" })
	}
	if err := ensure(true); err != nil {
		t.Error(err)
	}
	s, err := b.JS.Stream(b.Context(), b.Names.ResponsesStream())
	if err != nil || s.CachedInfo().Config.Description != "changed by hand" {
		t.Errorf("a stream was changed back: %v", err)
	}
}

func change(b *bench, stream string, edit func(*jetstream.StreamConfig)) {
	b.t.Helper()
	s, err := b.JS.Stream(b.Context(), stream)
	if err != nil {
		b.t.Fatal(err)
	}
	c := s.CachedInfo().Config
	edit(&c)
	if _, err := b.JS.UpdateStream(b.Context(), c); err != nil {
		b.t.Fatal(err)
	}
}

// recreate makes a stream anew with an edit that an update does not allow.
func recreate(b *bench, stream string, edit func(*jetstream.StreamConfig)) {
	b.t.Helper()
	for _, want := range NewTopology(b.config, b.NC.MaxPayload()).Streams {
		if want.Name != stream {
			continue
		}
		if err := b.JS.DeleteStream(b.Context(), stream); err != nil {
			b.t.Fatal(err)
		}
		edit(&want)
		if _, err := b.JS.CreateStream(b.Context(), want); err != nil {
			b.t.Fatal(err)
		}
	}
}

func consumer(b *bench, stream string, edit func(*jetstream.ConsumerConfig)) {
	b.t.Helper()
	for _, want := range NewTopology(b.config, b.NC.MaxPayload()).Consumers {
		if want.Stream != stream || want.spare() {
			continue
		}
		_ = b.JS.DeleteConsumer(b.Context(), stream, Durable)
		edit(&want.Config)
		if _, err := b.JS.CreateConsumer(b.Context(), stream, want.Config); err != nil {
			b.t.Fatal(err)
		}
	}
}

// Each harmful difference ends the service with a text that names it.
func TestHarmfulDifferences(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		says string
		edit func(*bench)
	}{
		"requests drop the oldest": {"discard", func(b *bench) {
			change(b, b.Names.RequestsStream(), func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld })
		}},
		"requests with rollups": {"allow_rollup_hdrs", func(b *bench) {
			change(b, b.Names.RequestsStream(), func(c *jetstream.StreamConfig) { c.AllowRollup = true })
		}},
		"requests that age": {"max_age", func(b *bench) {
			change(b, b.Names.RequestsStream(), func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
		}},
		"results with rollups": {"allow_rollup_hdrs", func(b *bench) {
			change(b, b.Names.ResponsesStream(), func(c *jetstream.StreamConfig) { c.AllowRollup = true })
		}},
		"results that age too soon": {"max_age", func(b *bench) {
			change(b, b.Names.ResponsesStream(), func(c *jetstream.StreamConfig) { c.MaxAge = 2 * time.Hour; c.Duplicates = time.Minute })
		}},
		"cancels that age too soon": {"max_age", func(b *bench) {
			change(b, b.Names.CancelsStream(), func(c *jetstream.StreamConfig) { c.MaxAge = 2 * time.Hour; c.Duplicates = time.Minute })
		}},
		"results that go when there are many": {"discard", func(b *bench) {
			change(b, b.Names.ResponsesStream(), func(c *jetstream.StreamConfig) { c.Discard, c.MaxBytes = jetstream.DiscardOld, 64<<20 })
		}},
		"results that are hardly kept": {"max_bytes", func(b *bench) {
			change(b, b.Names.ResponsesStream(), func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 })
		}},
		"no direct get": {"allow_direct", func(b *bench) {
			change(b, b.Names.ResponsesStream(), func(c *jetstream.StreamConfig) { c.AllowDirect = false })
		}},
		"requests as a log": {"retention", func(b *bench) {
			recreate(b, b.Names.RequestsStream(), func(c *jetstream.StreamConfig) { c.Retention = jetstream.LimitsPolicy })
		}},
		"retries without schedules": {"allow_msg_schedules", func(b *bench) {
			recreate(b, b.Names.RetriesStream(), func(c *jetstream.StreamConfig) { c.AllowMsgSchedules = false })
		}},
		"claims without life": {"allow_msg_ttl", func(b *bench) {
			recreate(b, b.Names.ClaimsStream(), func(c *jetstream.StreamConfig) { c.AllowMsgTTL = false })
		}},
		"retries with a limit": {"max_msgs", func(b *bench) {
			change(b, b.Names.RetriesStream(), func(c *jetstream.StreamConfig) { c.MaxMsgs = 2 })
		}},
		"retries with a size": {"max_bytes", func(b *bench) {
			change(b, b.Names.RetriesStream(), func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 })
		}},
		"requests limited by subject": {"max_msgs_per_subject", func(b *bench) {
			change(b, b.Names.RequestsStream(), func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 })
		}},
		"headers only": {"headers_only", func(b *bench) {
			consumer(b, b.Names.RequestsStream(), func(c *jetstream.ConsumerConfig) { c.HeadersOnly = true })
		}},
		"back-off": {"backoff", func(b *bench) {
			consumer(b, b.Names.RequestsStream(), func(c *jetstream.ConsumerConfig) { c.BackOff = []time.Duration{time.Second} })
		}},
		"a limit of deliveries": {"max_deliver", func(b *bench) {
			consumer(b, b.Names.RequestsStream(), func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 5 })
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.provision()
			c.edit(b)
			bus, err := Open(b.Context(), b.config, quiet(t))
			if !errors.Is(err, ErrTopology) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Open: got %v, %v, want ErrTopology that names %s", bus, err, c.says)
			}
		})
	}
}

// A harmless difference is said once and lived with.
func TestHarmlessDifference(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	change(b, b.Names.DeadlettersStream(), func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	change(b, b.Names.ResponsesStream(), func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }) // as older versions made it, without a limit
	b.run(b.open(), Handlers{})
	if log := b.log.String(); strings.Count(log, "differs from the configuration") != 1 {
		t.Errorf("the log says it not once:\n%s", log)
	}
	b.Result(b.Ask("hello", nil))
}

// Heartbeats and claims follow the consumer on the server, not the
// configuration.
func TestAckWaitIsTheServers(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.AckWait = time.Hour })
	b.provision()
	consumer(b, b.Names.RequestsStream(), func(c *jetstream.ConsumerConfig) { c.AckWait = time.Second })
	bus := b.open()
	answer, deliveries := b.answer(bus), make(chan uint64, 10)
	b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
		deliveries <- d.Deliveries
		sleep(ctx, 3*time.Second)
		answer(ctx, d)
	}})
	b.Result(b.Ask("longer than the ack wait", nil))
	b.Idle()
	if n := len(deliveries); n != 1 {
		t.Errorf("deliveries: got %d, want 1: the message was not kept alive", n)
	}
}

func TestProvisionApplies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	change(b, b.Names.ResponsesStream(), func(c *jetstream.StreamConfig) { c.Discard, c.AllowAtomicPublish = jetstream.DiscardOld, false }) // as older versions made it
	b.config.ResultsMaxAge, b.config.ResultsMaxBytes = 100*time.Hour, 64<<20
	b.provision()
	s, err := b.JS.Stream(b.Context(), b.Names.ResponsesStream())
	if err != nil {
		t.Fatal(err)
	}
	if c := s.CachedInfo().Config; c.MaxAge != 100*time.Hour || c.MaxBytes != 64<<20 || c.Discard != jetstream.DiscardNew || !c.AllowAtomicPublish {
		t.Errorf("got %+v", c)
	}
}
