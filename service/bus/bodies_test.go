package bus

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// object puts an object as a backend does.
func (b *bench) object(name string, size int) events.BodyRef {
	b.t.Helper()
	store, err := b.JS.ObjectStore(b.Context(), b.Names.BodiesBucket())
	if err != nil {
		b.t.Fatal(err)
	}
	info, err := store.PutBytes(b.Context(), name, bytes.Repeat([]byte("x"), size))
	if err != nil {
		b.t.Fatal(err)
	}
	return events.BodyRef{Bucket: info.Bucket, Name: info.Name, Size: size, Digest: info.Digest}
}

// The service makes the bucket where it may, and goes on where it cannot.
func TestBucketAtTheStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.open()
	s, err := b.JS.Stream(t.Context(), "OBJ_GEMINI_BODIES")
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	if want := b.config.ResultsMaxAge + b.config.DeadlettersMaxAge; c.MaxAge != want || c.MaxBytes != int64(b.config.RequestsMaxBytes) || c.Discard != jetstream.DiscardNew {
		t.Errorf("got %+v, want an age of %s and the queue's size", c, want)
	}
	narrow := servicetest.RunNATS(t, func(o *server.Options) { o.JetStreamMaxStore = 768 << 20 })
	b = setupOn(t, narrow, func(c *config.Config) { c.RequestsMaxBytes, c.DeadlettersMaxBytes = 400<<20, 2<<20 })
	if err := NewTopology(b.config, b.NC.MaxPayload()).Provision(t.Context(), b.JS); err == nil || !strings.Contains(err.Error(), "REQUESTS_MAX_BYTES") {
		t.Errorf("there is no room for the bucket: %v", err)
	}
	b.config.Provision = false
	b.open() // all the others are there
	b.config.Provision = true
	b.open()
	if text := b.log.String(); strings.Count(text, "have nowhere to go") != 1 || !strings.Contains(text, "provision") {
		t.Errorf("the log does not say that there is no bucket: %s", text)
	}
	b = setup(t)
	b.provision()
	if err := b.JS.DeleteStream(t.Context(), "OBJ_GEMINI_BODIES"); err != nil {
		t.Fatal(err)
	}
	b.config.Provision = false
	b.open()
	if _, err := b.JS.Stream(t.Context(), "OBJ_GEMINI_BODIES"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("NATS_PROVISION is false: %v", err)
	}
}

// provision --missing tells of a bucket that does not do; a service starts beside it.
func TestBucketThatDiffers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	recreate(b, b.Names.BodiesStream(), func(c *jetstream.StreamConfig) { c.AllowRollup = false })
	b.open()
	err := NewTopology(b.config, b.NC.MaxPayload()).Ensure(b.Context(), b.JS, true, slog.New(slog.DiscardHandler))
	if !errors.Is(err, ErrTopology) || !strings.Contains(err.Error(), "stream OBJ_GEMINI_BODIES: allow_rollup_hdrs is false") {
		t.Errorf("got %v", err)
	}
}

// An object's bytes are counted before it is fetched and until its request is settled. One
// that does not fit waits.
func TestBodyWithinTheMemory(t *testing.T) {
	t.Parallel()
	const budget, size, backlog = 20 << 20, 1 << 20, 8
	b := setup(t, func(c *config.Config) { c.MemoryBudget = budget })
	bus := b.open()
	if most := bus.MaxBody(); most != budget/2/bodyCost {
		t.Errorf("the largest body: %d", most)
	}
	ref := b.object("x", size)
	b.heavy(b.Names.RequestQueue, backlog, 10)
	var fetched, most atomic.Int32
	stop := b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
		object, err := bus.Body(ctx, d, ref)
		if err != nil || len(object) != size {
			t.Errorf("got %d bytes, %v", len(object), err)
		}
		used, _ := bus.memory.inHand()
		most.Store(max(most.Load(), int32(used>>20)))
		if fetched.Add(1); used < size*bodyCost || used > budget+size*bodyCost {
			t.Errorf("%d bytes are in hand", used)
		}
		_, _ = bus.Settle(ctx, d, End{})
	}})
	b.Idle()
	if err := stop(); err != nil || fetched.Load() != backlog {
		t.Errorf("fetched %d of %d; Run returned %v", fetched.Load(), backlog, err)
	}
	if left, _ := bus.memory.inHand(); left != 0 {
		t.Errorf("%d bytes were not given back", left)
	}
}

// Whatever NATS refuses for good has another end than to wait for it.
func TestBodiesRefused(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "reader", Password: "x", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$O.>"}}}},
			{Username: "stranger", Password: "x", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.DIRECT.GET.OBJ_GEMINI_BODIES"}}}},
			{Username: "admin", Password: "a"},
		}
		o.NoAuthUser = "admin"
	})
	small := func(c *config.Config) { c.RequestsMaxBytes = 1 << 20 }
	as := func(user string) *bench {
		return setupOn(t, n, small, func(c *config.Config) { c.User, c.Password = user, "x" })
	}
	admin := setupOn(t, n, small)
	owner := admin.open()
	ref := admin.object("x", 10)
	free := &Delivery{}
	if _, err := as("reader").open().PutResult(t.Context(), servicetest.NewID(), []byte("x")); !errors.Is(err, ErrRefused) || !errors.Is(err, ErrDenied) {
		t.Errorf("a user who may not put: %v", err)
	}
	if _, err := as("stranger").open().Body(t.Context(), free, ref); !errors.Is(err, ErrRefused) || !errors.Is(err, ErrDenied) || errors.Is(err, ErrNoBody) {
		t.Errorf("a user who may not read: %v", err)
	}
	if _, err := owner.PutResult(t.Context(), servicetest.NewID(), make([]byte, 2<<20)); !errors.Is(err, ErrRefused) || !streamFull(err) {
		t.Errorf("a full bucket: %v", err)
	}
	if err := admin.JS.DeleteStream(t.Context(), "OBJ_GEMINI_BODIES"); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.PutResult(t.Context(), servicetest.NewID(), []byte("x")); !errors.Is(err, ErrRefused) {
		t.Errorf("no bucket to put into: %v", err)
	}
	if _, err := owner.Body(t.Context(), free, ref); !errors.Is(err, ErrNoBody) {
		t.Errorf("no bucket to read: %v", err)
	}
	owner.DropBody(t.Context(), "x") // is no error of anybody
}

// NATS going away while an object is fetched or put costs time and nothing else.
func TestBodiesWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	b := setup(t)
	between := servicetest.RunForwarder(t, strings.TrimPrefix(b.nats.URL, "nats://"))
	b.open()
	ref := b.object("x", 3<<20)
	b.config.NATS.URL = "nats://" + between.Address
	bus := b.open()
	chunks := 0
	inner := bus.bodies.Request
	bus.bodies.Request = func(ctx context.Context, subject string, question []byte) (*nats.Msg, error) {
		if chunks++; chunks == 3 {
			between.Cut()
			between.Heal()
		}
		return inner(ctx, subject, question)
	}
	if object, err := bus.Body(b.Context(), &Delivery{}, ref); err != nil || len(object) != 3<<20 {
		t.Errorf("got %d bytes, %v", len(object), err)
	}
	chunks = 0
	store := bus.bodies.Publish
	bus.bodies.Publish = func(ctx context.Context, m *nats.Msg) error {
		if chunks++; chunks == 2 {
			between.Cut()
			between.Heal()
		}
		return store(ctx, m)
	}
	put, err := bus.PutResult(b.Context(), servicetest.NewID(), bytes.Repeat([]byte("y"), 3<<20))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Body(b.Context(), &Delivery{}, put); err != nil {
		t.Error(err)
	}
	ended, end := context.WithCancelCause(t.Context())
	end(errTakenOver)
	if _, err := bus.Body(ended, &Delivery{}, ref); !errors.Is(err, errTakenOver) {
		t.Errorf("the context has ended: %v", err)
	}
}
