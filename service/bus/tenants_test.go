package bus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// bucket is the one of the declared tenants, as another client has it.
func (b *bench) bucket() jetstream.KeyValue {
	b.t.Helper()
	bucket, err := b.JS.KeyValue(b.Context(), b.Names.TenantsBucket())
	if err != nil {
		b.t.Fatal(err)
	}
	return bucket
}

func (b *bench) put(name, record string) {
	b.t.Helper()
	if _, err := b.bucket().PutString(b.Context(), name, record); err != nil {
		b.t.Fatal(err)
	}
}

// knows waits until a bus knows just these tenants, as name=weight.
func (b *bench) knows(bus *Bus, want string) {
	b.t.Helper()
	b.Until("it knows "+want, func() (string, bool) {
		var have []string
		for _, t := range bus.Tenants().Declared() {
			have = append(have, fmt.Sprintf("%s=%d", t.Name, t.Weight))
		}
		got := strings.Join(have, " ")
		return got, got == want
	})
}

// A worker knows what is declared before it takes messages, and hears of changes.
func TestDeclaredTenantsAreKeptCurrent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	b.put("acme", `{"weight":3}`)
	bus := b.open()
	if !bus.Tenants().Any() || bus.Tenants().Of("acme").Weight != 3 {
		t.Errorf("after the start it knows %v", bus.Tenants().Declared())
	}
	bus.declared.every = time.Hour // what is known is heard
	b.run(bus, Handlers{})
	b.put("acme", `{"weight":4}`)
	b.put("beta", `{}`)
	b.knows(bus, "acme=4 beta=1")
	if err := b.bucket().Delete(b.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	b.knows(bus, "beta=1")
	if err := b.bucket().Purge(b.Context(), "beta"); err != nil {
		t.Fatal(err)
	}
	b.knows(bus, "")
}

// A record that cannot be used stays as it was, and is said once.
func TestBrokenRecordKeepsItsLastState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	b.put("acme", `{"weight":3}`)
	bus := b.open()
	b.run(bus, Handlers{})
	b.put("acme", `{"weight":0,"when_spent":"never"}`)
	b.put("beta", `not JSON`)
	b.put("a.b", `{}`)
	b.put("gamma", `{"weight":7}`)
	b.knows(bus, "acme=3 gamma=7")
	b.put("gamma", `{"weight":8}`)
	b.knows(bus, "acme=3 gamma=8")
	if log := b.log.String(); strings.Count(log, "cannot be used") != 3 || !strings.Contains(log, "when_spent") {
		t.Errorf("the log: %s", log)
	}
	b.put("acme", `{"weight":5}`)
	b.knows(bus, "acme=5 gamma=8")
}

// What was changed while NATS was away is known afterwards.
func TestTenantsAfterAReconnect(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t)
	f := servicetest.RunForwarder(t, strings.TrimPrefix(n.URL, "nats://"))
	b := setupOn(t, n)
	b.provision()
	b.config.NATS.URL = "nats://" + f.Address
	bus := b.open()
	bus.declared.every = time.Hour
	b.run(bus, Handlers{})
	b.Result(b.Ask("hello", nil))
	f.Cut()
	b.put("acme", `{"weight":3}`)
	f.Heal()
	b.knows(bus, "acme=3")
}

// Where there is no bucket, or this user may not see it, the service answers, and the log
// has a line at most.
func TestWithoutTheBucket(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asLastRelease(b)
	b.config.Provision = false
	if log := b.answersWithout(); strings.Contains(log, "declared tenants cannot be read") {
		t.Errorf("there is no bucket: %s", log)
	}
	n := servicetest.RunNATS(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "admin", Password: "x"}, {Username: "worker", Password: "x", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"$JS.API.*.*.KV_GEMINI_TENANTS"}}, Subscribe: &server.SubjectPermission{Deny: []string{"$KV.>"}},
		}}}
	})
	n.As = []nats.Option{nats.UserInfo("admin", "x")}
	b = setupOn(t, n, func(c *config.Config) { c.Provision, c.NATS.User, c.NATS.Password = false, "worker", "x" })
	b.provision()
	if log := b.answersWithout(); strings.Count(log, "declared tenants cannot be read") != 1 {
		t.Errorf("this user may not see it: %s", log)
	}
}

// answersWithout has a worker answer that knows no tenants, and returns its log.
func (b *bench) answersWithout() string {
	b.t.Helper()
	bus := b.open()
	b.run(bus, Handlers{})
	b.Result(b.Ask("hello", nil))
	bus.declared.first(b.Context())
	log := b.log.String()
	if strings.Contains(log, `"level":"WARN"`) || bus.Tenants().Any() {
		b.t.Errorf("declared %v; the log warns: %s", bus.Tenants().Declared(), log)
	}
	return log
}
