package bus

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// wantCancelled checks who is cancelled under an id, and who is not.
func (b *bench) wantCancelled(bus *Bus, id string, want map[string]bool) {
	b.t.Helper()
	for tenant, cancelled := range want {
		if got, err := bus.IsCancelled(b.t.Context(), tenant, id); got != cancelled || err != nil {
			b.t.Errorf("%s of tenant %q: cancelled %t, %v", id, tenant, got, err)
		}
	}
}

// An isolated tenant's request is cancelled on its own subject and on no other, nor is
// anybody else's there: before the tenant is declared, when it is asked about, and after,
// when all is in memory and nothing is asked.
func TestCancellationsOfIsolatedTenants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	cancel := func(tenant, id string) {
		if _, err := b.JS.Publish(t.Context(), b.Names.Of(tenant).Cancel(id), nil); err != nil {
			t.Fatal(err)
		}
	}
	heard := make(chan string, 10)
	b.run(bus, Handlers{Cancelled: func(tenant, id string) { heard <- tenant + " " + id }})
	cancel("", cancelID(0))
	cancel("acme", cancelID(1))
	check := func() {
		t.Helper()
		b.wantCancelled(bus, cancelID(0), map[string]bool{"": true, "acme": false, "other": false})
		b.wantCancelled(bus, cancelID(1), map[string]bool{"": false, "acme": true, "other": false})
		b.wantCancelled(bus, cancelID(2), map[string]bool{"": false, "acme": false})
	}
	check()
	b.record(bus, isolated("acme"))
	b.Until("all is in memory", func() (string, bool) {
		for i, want := range []bool{false, true, false} {
			key, _ := cancellation{"acme", cancelID(i)}.key()
			if got, known := bus.cancels.known(key, true); got != want || !known && !want {
				return fmt.Sprint(i, got, known), false
			}
		}
		return "", true
	})
	asked := b.listen(t, "$JS.API.STREAM.MSG.GET."+b.Names.CancelsStream())
	cancel("acme", cancelID(3))
	seen := map[string]bool{}
	for !seen["acme "+cancelID(3)] {
		seen[<-heard] = true
	}
	for who := range seen {
		if who != " "+cancelID(0) && who != "acme "+cancelID(1) && who != "acme "+cancelID(3) {
			t.Errorf("heard %q", who)
		}
	}
	b.wantCancelled(bus, cancelID(3), map[string]bool{"": false, "acme": true, "other": false})
	if n := len(asked); n != 0 {
		t.Errorf("questions: %d", n)
	}
}

// Where the accounts do not pass on what isolated tenants cancel, or the stream has no
// subject for it, as under a configuration of before, a worker starts, asks about those
// requests, and about no others.
func TestIsolatedCancellationsUnderAnOldConfiguration(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t, func(o *server.Options) {
		deaf := &server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"gemini.cancels.*.*"}}}
		o.Users = []*server.User{{Username: "all", Password: "all"}, {Username: "worker", Password: "worker", Permissions: deaf}}
	})
	n.As = []nats.Option{nats.UserInfo("all", "all")}
	b := setupOn(t, n, func(c *config.Config) { c.User, c.Password = "worker", "worker" })
	old := cancelsStream(b.config, b.Names)
	old.Subjects = old.Subjects[:1]
	if _, err := b.JS.CreateStream(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	bus := b.open()
	b.run(bus, Handlers{})
	b.provision() // as a person does
	b.record(bus, isolated("acme"))
	if _, err := b.JS.Publish(t.Context(), b.Names.Of("acme").Cancel(cancelID(1)), nil); err != nil {
		t.Fatal(err)
	}
	b.Until("it knows of ordinary requests that nobody cancelled them, and of acme's that it does not know", func() (string, bool) {
		key, _ := cancellation{id: cancelID(0)}.key()
		acmes, _ := cancellation{"acme", cancelID(0)}.key()
		_, plain := bus.cancels.known(key, false)
		_, known := bus.cancels.known(acmes, true)
		return fmt.Sprint(plain, known), plain && !known && bus.cancels.isolated.Load() != nil
	})
	b.wantCancelled(bus, cancelID(1), map[string]bool{"": false, "acme": true})
}
