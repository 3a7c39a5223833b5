package bus

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
)

// The stream of limits is made by whoever needs it first, if it may be.
func TestLimitsStreamIsMadeWhenItIsNeeded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one := b.open()
	name, counter := one.names.LimitsStream(), one.names.Limit("tenant", "acme", "requests")+".1"
	if _, err := b.JS.Stream(b.Context(), name); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("before anybody needs it: %v", err)
	}
	if _, err := one.Add(b.Context(), counter, 1, ""); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("an increment before it is there: %v", err)
	}
	if total, err := one.AddLimit(b.Context(), counter, 2, ""); err != nil || total != 2 {
		t.Errorf("got %d, %v", total, err)
	}
	b.nats.Stop()
	b.nats.Start()
	b.Until("it is there after the server has started again", func() (string, bool) {
		total, err := one.AddLimit(b.Context(), counter, 3, "")
		return fmt.Sprint(total, err), err == nil && total >= 5
	})
	if err := b.JS.DeleteStream(b.Context(), name); err != nil {
		t.Fatal(err)
	}
	b.Until("it is made again when it is gone", func() (string, bool) {
		total, err := one.AddLimit(b.Context(), counter, 1, "")
		return fmt.Sprint(total, err), err == nil
	})
}

// Where it may not be made, each worker is told so, and the log says the way out, once.
func TestLimitsStreamIsMissing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	one := setupOn(t, b.nats, func(c *config.Config) { c.Provision = false })
	bus := one.open()
	counter := bus.names.Limit("tenant", "acme", "requests") + ".1"
	if err := b.JS.DeleteStream(b.Context(), bus.names.LimitsStream()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := bus.AddLimit(b.Context(), counter, 1, ""); !errors.Is(err, ErrTopology) {
			t.Errorf("got %v, want ErrTopology", err)
		}
	}
	if n := strings.Count(one.log.String(), "limits hold for this worker alone"); n != 1 {
		t.Errorf("the log says it %d times, want once", n)
	}
	b.provision()
	bus.limits.asked = bus.limits.asked.Add(-limitsAgain)
	if _, err := bus.AddLimit(b.Context(), counter, 1, ""); err != nil {
		t.Errorf("a minute after it was provisioned: %v", err)
	}
	if err := b.JS.DeleteStream(b.Context(), bus.names.LimitsStream()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := bus.AddLimit(b.Context(), counter, 1, ""); err == nil || errors.Is(err, ErrTopology) {
			t.Errorf("when it is gone that was there: %v, want an outage", err)
		}
	}
}

// The server's clock is this machine's, so it is ahead by no more than the answer took.
func TestOffset(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	began := time.Now()
	offset, err := bus.Offset(b.Context())
	if took := time.Since(began); err != nil || offset.Abs() > took {
		t.Errorf("got %v, %v, in %v", offset, err, took)
	}
}
