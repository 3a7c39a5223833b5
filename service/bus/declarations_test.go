package bus

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
	"gemini-client/service/tenant"
)

func (b *bench) declarations() *Declarations { return NewDeclarations(b.config, b.connect()) }

func weight(n int) func(*tenant.Tenant) error {
	return func(t *tenant.Tenant) error { t.Weight = n; return nil }
}

// subjects are those of the stream of requests.
func (b *bench) subjects() string {
	b.t.Helper()
	stream, err := b.JS.Stream(b.Context(), b.Names.RequestsStream())
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(stream.CachedInfo().Config.Subjects, " ")
}

// publishes tells whether the stream takes requests of a tenant.
func (b *bench) publishes(tenant string, lane events.Lane) error {
	_, err := b.JS.Publish(b.Context(), b.Names.Requests(tenant, lane), []byte("{}"), jetstream.WithRetryAttempts(0))
	return err
}

// A tenant can be published for once it is declared, and no more once it is removed.
func TestTenantExistsOnceDeclared(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	d := b.declarations()
	if err := b.publishes("acme", events.LaneInteractive); !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Errorf("before: %v", err)
	}
	if _, err := d.Get(b.Context(), "acme"); !errors.Is(err, ErrUndeclared) {
		t.Errorf("before: %v", err)
	}
	set, err := d.Set(b.Context(), "acme", weight(3))
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Get(b.Context(), "acme")
	if err != nil || got.Weight != 3 || got.Revision != set.Revision {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, lane := range []events.Lane{events.LaneInteractive, events.LaneBatch} {
		if err := b.publishes("acme", lane); err != nil {
			t.Errorf("%s: %v", lane, err)
		}
	}
	depths, err := d.Depths(b.Context())
	if err != nil {
		t.Fatal(err)
	}
	interactive, slow := d.Lanes("acme", depths)
	if interactive == nil || slow == nil || interactive.Waiting != 1 || slow.Waiting != 1 {
		t.Errorf("depths: %+v, %+v", interactive, slow)
	}
	if _, err := d.Remove(b.Context(), "acme", false); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "2 wait and 0 are in flight") {
		t.Errorf("with requests: %v", err)
	}
	if err := b.publishes("acme", events.LaneBatch); err != nil {
		t.Errorf("a refused removal removes something: %v", err)
	}
	if lost, err := d.Remove(b.Context(), "acme", true); lost != 3 || err != nil {
		t.Errorf("by force: %d lost, %v", lost, err)
	}
	if err := b.publishes("acme", events.LaneBatch); err == nil || b.subjects() != "gemini.requests gemini.requests.default.batch" || b.State(b.Names.RequestsStream()).Msgs != 0 {
		t.Errorf("afterwards: %v, subjects %s", err, b.subjects())
	}
	if _, err := d.Remove(b.Context(), "acme", false); !errors.Is(err, ErrUndeclared) {
		t.Errorf("again: %v", err)
	}
	if _, err := d.Set(b.Context(), "acme", weight(4)); err != nil || b.publishes("acme", events.LaneInteractive) != nil {
		t.Errorf("declared again: %v", err)
	}
}

// A worker hears of what is declared, without a restart.
func TestWorkersHearOfDeclarations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	b.run(bus, Handlers{})
	d := b.declarations()
	for _, name := range []string{"acme", "beta"} {
		if _, err := d.Set(b.Context(), name, weight(2)); err != nil {
			t.Fatal(err)
		}
	}
	b.knows(bus, "acme=2 beta=2")
	if _, err := d.Remove(b.Context(), "acme", false); err != nil {
		t.Fatal(err)
	}
	b.knows(bus, "beta=2")
}

// Every problem is named, and nothing is made of a tenant that cannot be.
func TestBadDeclarations(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.RequestQueue, c.ResponseQueue, c.CallbackAllow = "llm", "llm.results", nil })
	b.provision()
	d := b.declarations()
	for name, change := range map[string]func(*tenant.Tenant) error{
		"results": weight(1), // llm.results.batch would be a result
		"a.b":     weight(1),
		"acme":    func(t *tenant.Tenant) error { t.Weight, t.MaxInFlight = 0, -1; return errors.New("and another") },
	} {
		_, err := d.Set(b.Context(), name, change)
		if !errors.Is(err, ErrBadTenant) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "acme" && (!strings.Contains(err.Error(), "weight: is 0") || !strings.Contains(err.Error(), "max_in_flight: is -1") || !strings.Contains(err.Error(), "and another")) {
			t.Errorf("not every problem: %v", err)
		}
	}
	if _, err := b.JS.CreateStream(b.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"llm.other"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Set(b.Context(), "other", weight(1)); !errors.Is(err, ErrBadTenant) || !strings.Contains(err.Error(), "another stream's") {
		t.Errorf("a subject of another stream: %v", err)
	}
	if all, err := d.List(b.Context()); err != nil || len(all) != 0 || b.subjects() != "llm llm.default.batch" {
		t.Errorf("declared %v, subjects %s, %v", all, b.subjects(), err)
	}
}

// What is no tenant's name is about no record: least of all one that as a subject would mean
// all of them.
func TestNoNamesOfTenants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	d := b.declarations()
	if _, err := d.Set(b.Context(), "acme", weight(2)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"*", ">", "a.b", "", "a b"} {
		_, shown := d.Get(b.Context(), name)
		_, set := d.Set(b.Context(), name, weight(3))
		_, removed := d.Remove(b.Context(), name, false)
		_, forced := d.Remove(b.Context(), name, true)
		_, _, used := d.InUse(b.Context(), name)
		for _, err := range []error{shown, set, removed, forced, used} {
			if !errors.Is(err, ErrBadTenant) {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
	if got, err := d.Get(b.Context(), "acme"); err != nil || got.Weight != 2 || b.publishes("acme", events.LaneBatch) != nil {
		t.Errorf("what is declared: %+v, %v", got, err)
	}
}

// Isolation cannot be changed under requests that are not answered yet.
func TestIsolationUnderRequests(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	d := b.declarations()
	isolate := func(t *tenant.Tenant) error { t.Isolated = true; return nil }
	if _, err := d.Set(b.Context(), "acme", weight(2)); err != nil {
		t.Fatal(err)
	}
	if err := b.publishes("acme", events.LaneBatch); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Set(b.Context(), "acme", isolate); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "1 wait") {
		t.Errorf("with a request: %v", err)
	}
	if _, err := d.Set(b.Context(), "acme", weight(3)); err != nil {
		t.Errorf("anything else: %v", err)
	}
	if _, err := d.Remove(b.Context(), "acme", true); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Set(b.Context(), "acme", isolate); err != nil || !got.Isolated || got.Weight != 1 {
		t.Errorf("without: %+v, %v", got, err)
	}
}

// What waits for a retry of an isolated tenant counts, for what would change where it is
// answered; that of others does not.
func TestIsolationUnderRetries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	bus, d := b.open(), b.declarations()
	isolate := func(to bool) func(*tenant.Tenant) error {
		return func(t *tenant.Tenant) error { t.Isolated = to; return nil }
	}
	for _, name := range []string{"acme", "beta"} {
		if _, err := d.Set(b.Context(), name, isolate(true)); err != nil {
			t.Fatal(err)
		}
	}
	id := servicetest.NewID()
	waits := &Delivery{Tenant: "acme", Isolated: true, Stream: b.Names.RequestsStream(), Sequence: 1, Body: servicetest.Body(id, "x", nil)}
	waits.asked = Ask{Delivery: waits, Callback: "gemini.responses.acme", ID: id}
	if err := bus.schedules.put(b.Context(), waits, Schedule{At: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	_, changed := d.Set(b.Context(), "acme", isolate(false))
	_, removed := d.Remove(b.Context(), "acme", false)
	for _, err := range []error{changed, removed} {
		if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), ": 1 wait for a retry") {
			t.Errorf("under a retry: %v", err)
		}
	}
	if _, err := d.Set(b.Context(), "beta", isolate(false)); err != nil {
		t.Errorf("another's: %v", err)
	}
	if lost, err := d.Remove(b.Context(), "acme", true); err != nil || lost != 0 || b.State(b.Names.RetriesStream()).Msgs != 1 {
		t.Errorf("by force: %d lost, %v", lost, err)
	}
}

// A right that is missing is said, with its subject and at once, wherever it is found.
func TestDeclaringWithoutTheRight(t *testing.T) {
	t.Parallel()
	for _, denied := range []string{
		"$KV.GEMINI_TENANTS.acme", "$JS.API.STREAM.UPDATE.GEMINI_REQUESTS", "$JS.API.CONSUMER.CREATE.GEMINI_REQUESTS.>", "$JS.API.STREAM.INFO.KV_GEMINI_TENANTS",
		"$JS.API.STREAM.MSG.GET.KV_GEMINI_TENANTS", "$JS.API.DIRECT.GET.KV_GEMINI_TENANTS.>",
	} {
		n := servicetest.RunNATS(t, func(o *server.Options) {
			o.Users = []*server.User{{Username: "admin", Password: "x"}, {Username: "limited", Password: "x", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{denied}}}}}
		})
		n.As = []nats.Option{nats.UserInfo("admin", "x")}
		b := setupOn(t, n, func(c *config.Config) { c.NATS.User, c.NATS.Password = "limited", "x" })
		b.provision()
		ctx, cancel := context.WithTimeout(b.Context(), requestTimeout)
		defer cancel()
		_, err := b.declarations().Set(ctx, "acme", weight(2))
		if word := strings.TrimSuffix(denied, ">"); err == nil && !strings.Contains(denied, "MSG.GET") && !strings.Contains(denied, "DIRECT") || err != nil && (!errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), word)) {
			t.Errorf("%s: %v", denied, err)
		}
	}
}

// What was interrupted is completed by doing it again, in either direction.
func TestHalfDoneDeclarations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	d := b.declarations()
	if err := d.makeQueues(b.Context(), "acme"); err != nil { // and then it stopped
		t.Fatal(err)
	}
	if _, err := d.Set(b.Context(), "acme", weight(2)); err != nil || b.publishes("acme", events.LaneInteractive) != nil {
		t.Errorf("declaring goes on: %v", err)
	}
	half, _, err := d.record(b.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.drop(b.Context(), half); err != nil { // and then it stopped
		t.Fatal(err)
	}
	if lost, err := d.Remove(b.Context(), "acme", true); err != nil || lost != 1 {
		t.Errorf("removing goes on: %d lost, %v", lost, err)
	}
	if depths, err := d.Depths(b.Context()); err != nil || len(depths) != 2 || strings.Contains(b.subjects(), "acme") {
		t.Errorf("consumers %v, subjects %s, %v", depths, b.subjects(), err)
	}
}
