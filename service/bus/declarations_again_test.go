package bus

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
)

// during has something done once before a consumer is deleted, or before a record is stored.
type during struct {
	jetstream.JetStream
	deleting, storing func()
}

func (c *during) DeleteConsumer(ctx context.Context, stream, name string) error {
	if once := c.deleting; once != nil && strings.HasSuffix(stream, "_REQUESTS") {
		c.deleting = nil
		once()
	}
	return c.JetStream.DeleteConsumer(ctx, stream, name)
}

func (c *during) PublishMsg(ctx context.Context, m *nats.Msg, options ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if once := c.storing; once != nil {
		c.storing = nil
		once()
	}
	return c.JetStream.PublishMsg(ctx, m, options...)
}

// whole checks that a tenant is declared, and that what is published for it is read.
func (b *bench) whole(name string) {
	b.t.Helper()
	look := b.declarations()
	_, err := look.Get(b.Context(), name)
	depths, failed := look.Depths(b.Context())
	interactive, slow := look.Lanes(name, depths)
	if err := errors.Join(err, failed, b.publishes(name, events.LaneInteractive), b.publishes(name, events.LaneBatch)); err != nil || interactive == nil || slow == nil {
		b.t.Errorf("%v; queues %v and %v", err, interactive, slow)
	}
}

// Whoever declares a tenant that another one is removing has it whole, or not at all:
// whatever comes first, and whether anything was declared before or not.
func TestDeclaredWhileRemoved(t *testing.T) {
	t.Parallel()
	for _, declared := range []bool{true, false} {
		b := setup(t)
		b.provision()
		d, other := b.declarations(), b.declarations()
		if declared {
			if _, err := other.Set(b.Context(), "acme", weight(2)); err != nil {
				t.Fatal(err)
			}
		}
		d.conn.JetStream = &during{JetStream: other.conn.JetStream, deleting: func() {
			if _, err := other.Set(b.Context(), "acme", weight(3)); err != nil {
				t.Error(err)
			}
		}}
		if _, err := d.Remove(b.Context(), "acme", false); err == nil || !strings.Contains(err.Error(), "declared by somebody else") {
			t.Errorf("declared before %t: removed: %v", declared, err)
		}
		b.whole("acme")
	}
}

// The other way round: what is declared when the queues are gone again has them made again.
func TestRemovedWhileDeclared(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	d, other := b.declarations(), b.declarations()
	d.conn.JetStream = &during{JetStream: other.conn.JetStream, storing: func() {
		if _, err := other.Remove(b.Context(), "acme", false); err != nil {
			t.Error(err)
		}
	}}
	if _, err := d.Set(b.Context(), "acme", weight(2)); err != nil {
		t.Fatal(err)
	}
	b.whole("acme")
}

// A request that comes after the last look, as somebody has given the subjects back, does not
// stay behind unseen: the tenant stays with it, or it is counted among the lost ones.
func TestRequestAfterTheLastLook(t *testing.T) {
	t.Parallel()
	for _, force := range []bool{false, true} {
		b := setup(t)
		b.provision()
		d, other := b.declarations(), b.declarations()
		if _, err := other.Set(b.Context(), "acme", weight(2)); err != nil {
			t.Fatal(err)
		}
		subject := b.Names.Requests("acme", events.LaneInteractive)
		d.conn.JetStream = &during{JetStream: other.conn.JetStream, deleting: func() {
			err := other.replaceSubjects(b.Context(), func(have []string) []string { return append(have, subject) })
			if err := errors.Join(err, b.publishes("acme", events.LaneInteractive)); err != nil {
				t.Error(err)
			}
		}}
		lost, err := d.Remove(b.Context(), "acme", force)
		if force && (err != nil || lost != 1 || b.State(b.Names.RequestsStream()).Msgs != 0) {
			t.Errorf("by force: %d lost, %v", lost, err)
		}
		if !force {
			if !errors.Is(err, ErrInUse) || lost != 0 {
				t.Errorf("removed: %d lost, %v", lost, err)
			}
			b.whole("acme")
		}
	}
}

// The queues of a tenant wait as long for an acknowledgement as the service's own, whatever
// the settings of who declares it.
func TestAckWaitIsTheServices(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.AckWait = 77 * time.Second })
	b.provision()
	b.config.AckWait = 5 * time.Second
	if _, err := b.declarations().Set(b.Context(), "acme", weight(2)); err != nil {
		t.Fatal(err)
	}
	for _, lane := range []events.Lane{events.LaneInteractive, events.LaneBatch} {
		consumer, err := b.JS.Consumer(b.Context(), b.Names.RequestsStream(), consumerName("acme", lane))
		if err != nil {
			t.Fatal(err)
		}
		if got := consumer.CachedInfo().Config.AckWait; got != 77*time.Second {
			t.Errorf("%s: ack_wait %s", lane, got)
		}
	}
}
