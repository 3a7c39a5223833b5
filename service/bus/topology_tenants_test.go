package bus

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
)

func TestConsumerNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tenant string
		lane   events.Lane
		want   string
	}{
		{"default", events.LaneInteractive, "gemini-client"},
		{"default", events.LaneBatch, "batch_default"},
		{"acme", events.LaneInteractive, "interactive_acme"},
		{"acme", events.LaneBatch, "batch_acme"},
	} {
		if got := consumerName(c.tenant, c.lane); got != c.want {
			t.Errorf("%s, %s: got %s, want %s", c.tenant, c.lane, got, c.want)
		}
	}
}

func TestOverlaps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		subject, filter string
		want            bool
	}{
		{"a.b", "a.b", true},
		{"a.b", "a.*", true},
		{"a.b", "a.>", true},
		{"a.b", ">", true},
		{"a.b.c", "a.>", true},
		{"a.b.c", "*.b.*", true},
		{"a", "a.>", false},
		{"a.b", "a.b.>", false},
		{"a.b", "a", false},
		{"a.b", "a.b.c", false},
		{"a.b", "a.c", false},
		{"a.b.c", "a.*", false},
	} {
		if got := overlaps(c.subject, c.filter); got != c.want {
			t.Errorf("%s and %s: got %t", c.subject, c.filter, got)
		}
	}
}

// A new deployment has the slow lane of the default tenant, and the bucket.
func TestNewDeploymentHasTheLane(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.open()
	if _, err := b.JS.Consumer(b.Context(), b.Names.RequestsStream(), "batch_default"); err != nil {
		t.Errorf("the slow lane: %v", err)
	}
	if _, err := b.JS.Publish(b.Context(), "gemini.requests.default.batch", []byte("{}")); err != nil {
		t.Errorf("the slow lane takes nothing: %v", err)
	}
	if _, err := b.JS.Publish(b.Context(), "gemini.requests.unknown", []byte("{}"), jetstream.WithRetryAttempts(0)); !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Errorf("an unknown tenant's publish: %v", err)
	}
	bucket, err := b.JS.KeyValue(b.Context(), b.Names.TenantsBucket())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.PutString(b.Context(), "acme", `{"weight":1}`); err != nil {
		t.Errorf("other clients cannot put into the bucket: %v", err)
	}
}

// The lane is left out where it would take the subjects of results.
func TestNoLaneAmongResults(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.ResponseQueue = "gemini.requests.default"; c.CallbackAllow = nil })
	b.provision()
	if got := b.State(b.Names.RequestsStream()); got.Msgs != 0 {
		t.Errorf("%+v", got)
	}
	if n := len(NewTopology(b.config, b.NC.MaxPayload()).Consumers); n != 2 {
		t.Errorf("%d consumers, want those of the requests and of the retries", n)
	}
}

// asLastRelease makes the queue as it was before there were tenants.
func asLastRelease(b *bench) {
	b.t.Helper()
	b.provision()
	if err := b.JS.DeleteConsumer(b.Context(), b.Names.RequestsStream(), "batch_default"); err != nil {
		b.t.Fatal(err)
	}
	if err := b.JS.DeleteStream(b.Context(), b.Names.TenantsStream()); err != nil {
		b.t.Fatal(err)
	}
	change(b, b.Names.RequestsStream(), func(c *jetstream.StreamConfig) { c.Subjects = []string{b.Names.RequestQueue} })
}

// An old deployment goes on as it is, and the log says what it lacks.
func TestOldDeploymentGoesOn(t *testing.T) {
	t.Parallel()
	for _, create := range []bool{false, true} {
		b := setup(t, func(c *config.Config) { c.Provision = create })
		asLastRelease(b)
		b.run(b.open(), Handlers{})
		b.Result(b.Ask("hello", nil))
		log := b.log.String()
		if strings.Count(log, "differs from the configuration") != 1 || !strings.Contains(log, `"setting":"subjects"`) || !strings.Contains(log, "gemini-client provision") || strings.Contains(log, `"level":"WARN"`) {
			t.Errorf("create %t: %s", create, log)
		}
		stream, err := b.JS.Stream(b.Context(), b.Names.RequestsStream())
		if err != nil || len(stream.CachedInfo().Config.Subjects) != 1 {
			t.Errorf("create %t: the stream was changed: %v", create, err)
		}
	}
	b := setup(t)
	asLastRelease(b)
	change(b, b.Names.RequestsStream(), func(c *jetstream.StreamConfig) { c.Subjects = []string{"elsewhere"} })
	if bus, err := Open(b.Context(), b.config, quiet(t)); !errors.Is(err, ErrTopology) || !strings.Contains(err.Error(), "subjects") {
		t.Errorf("without REQUEST_QUEUE: %v, %v", bus, err)
	}
}

// provision keeps the queues of declared tenants, makes what is missing of them, and ends
// what is left of one that is not.
func TestProvisionKeepsTenants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	b.put("acme", `{"weight":3}`)
	change(b, b.Names.RequestsStream(), func(c *jetstream.StreamConfig) {
		c.Subjects = append(c.Subjects, "gemini.requests.left", "gemini.requests.coming")
	})
	coming := NewTopology(b.config, b.NC.MaxPayload()).Queues("coming")[0]
	if _, err := b.JS.CreateConsumer(b.Context(), coming.Stream, coming.Config); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.provision()
		stream, err := b.JS.Stream(b.Context(), b.Names.RequestsStream())
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(stream.CachedInfo().Config.Subjects, " ")
		if want := "gemini.requests gemini.requests.default.batch gemini.requests.acme gemini.requests.acme.batch gemini.requests.coming"; got != want {
			t.Errorf("subjects: got %s, want %s", got, want)
		}
	}
	for _, name := range []string{"interactive_acme", "batch_acme"} {
		if _, err := b.JS.Consumer(b.Context(), b.Names.RequestsStream(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
