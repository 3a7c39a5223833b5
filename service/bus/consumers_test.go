package bus

import (
	"errors"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/servicetest"
	"gemini-client/service/tenant"
)

// TestMoreConsumersThanTheServerAllows: a server allows a stream some consumers where
// nothing is said of them (a thousand, in the service's stream those of 499 tenants). More
// tenants than that can be declared, by their records and `provision` too, unless somebody
// has bounded the stream.
func TestMoreConsumersThanTheServerAllows(t *testing.T) {
	t.Parallel()
	b := setupOn(t, servicetest.RunNATS(t, func(o *server.Options) { o.JetStreamLimits.DefaultMaxConsumers = 5 }))
	b.provision()
	declare := func(name string) error {
		_, err := b.declarations().Set(b.Context(), name, func(*tenant.Tenant) error { return nil })
		return err
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := declare(name); err != nil {
			t.Fatalf("declare %s: %v", name, err)
		}
	}
	b.provision()
	bound := func(n int) {
		t.Helper()
		stream, err := b.JS.Stream(b.Context(), b.Names.RequestsStream())
		if err != nil {
			t.Fatal(err)
		}
		c := stream.CachedInfo().Config
		if c.MaxConsumers != consumersMost {
			t.Errorf("the stream may have %d consumers, want %d", c.MaxConsumers, consumersMost)
		}
		c.MaxConsumers = n
		if _, err := b.JS.UpdateStream(b.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	bound(-1)
	if _, err := b.JS.Publish(b.Context(), b.Names.Tenant("d"), []byte(`{"weight":1}`)); err != nil {
		t.Fatal(err)
	}
	b.provision()
	bound(8)
	err := declare("e")
	if api := new(jetstream.APIError); !errors.As(err, &api) || api.ErrorCode != jsErrConsumersMost {
		t.Errorf("beyond a person's own limit: %v", err)
	}
}
