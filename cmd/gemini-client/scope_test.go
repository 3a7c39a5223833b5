package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// declare puts what is declared of tenants into their bucket, beside the streams.
func (b *bench) declare(tenants map[string]string) {
	b.t.Helper()
	c, _, err := config.Load("", "")
	if err != nil {
		b.t.Fatal(err)
	}
	if err := bus.NewTopology(c, b.NC.MaxPayload()).Provision(b.Context(), b.JS); err != nil {
		b.t.Fatal(err)
	}
	kv, err := b.JS.KeyValue(b.Context(), b.Names.TenantsBucket())
	if err != nil {
		b.t.Fatal(err)
	}
	for name, declared := range tenants {
		if _, err := kv.PutString(b.Context(), name, declared); err != nil {
			b.t.Fatal(err)
		}
	}
}

// dead keeps a dead letter of a tenant, as a worker does.
func (b *bench) dead(tenant string, more map[string]any) (id string) {
	b.t.Helper()
	id = servicetest.NewID()
	b.put(b.Names.Deadletter(events.UpstreamTimeout, id), nats.Header{events.HeaderTenant: {tenant}, events.HeaderLane: {"batch"}, events.HeaderReason: {"x"}}, servicetest.Body(id, "hello", more))
	return id
}

// Dead letters are told and chosen by tenant.
func TestDeadLettersOfATenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.declare(nil)
	acme, other := b.dead("acme", nil), b.dead("other", nil)
	if out := b.expect([]string{"deadletters", "list", "--tenant", "acme"}, "TENANT", "acme", acme); strings.Contains(out, other) {
		t.Errorf("another's is listed:\n%s", out)
	}
	b.expect([]string{"deadletters", "list"}, acme, other)
	b.expect([]string{"deadletters", "list", "--tenant", "other", "--json"}, `"tenant":"other"`, `"lane":"batch"`, other)
	b.expect([]string{"deadletters", "show", acme}, "tenant       acme, lane batch")
	b.expect([]string{"deadletters", "purge", "--tenant", "other"}, "1 deleted")
	b.expect([]string{"status", acme}, "tenant      acme")
	contains(t, b.command(2, "deadletters", "list", "--tenant", "a.b"), `--tenant "a.b"`)
}

// A replayed request stays its tenant's and in its lane, and follows the failure on the
// tenant's own callback.
func TestReplayOfATenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.declare(map[string]string{"acme": `{"weight":1,"isolated":true}`, "open": `{"weight":1,"models":["google/gemini-3*"]}`})
	const own = "gemini.responses.acme"
	acme, open := b.dead("acme", nil), b.dead("open", map[string]any{"model": "google/gemini-2.5-pro"})
	failed := b.put(events.Failed(own, acme), nil, []byte("{}"))
	b.expect([]string{"deadletters", "replay", acme}, fmt.Sprintf("replayed: follows the failed result %d", failed))
	replay := b.message(b.Names.RetriesStream(), b.Names.Retries())
	if tenant, lane := events.TenantOf(replay.Header); tenant != "acme" || lane != events.LaneBatch {
		t.Errorf("replayed for %s, %s", tenant, lane)
	}
	gone := servicetest.NewID() // of an isolated tenant that was removed
	b.put(b.Names.Deadletter(events.UpstreamTimeout, gone), nats.Header{events.HeaderTenant: {"gone"}, events.HeaderLane: {"batch"}, events.HeaderIsolated: {"true"}}, servicetest.Body(gone, "hello", nil))
	failed = b.put(events.Failed("gemini.responses.gone", gone), nil, []byte("{}"))
	b.expect([]string{"deadletters", "replay", gone}, fmt.Sprintf("replayed: follows the failed result %d", failed))
	if isolated, known := events.IsolatedOf(b.message(b.Names.RetriesStream(), b.Names.Retries()).Header); !isolated || !known {
		t.Error("the replay does not say that it is an isolated tenant's")
	}
	contains(t, b.command(1, "deadletters", "replay", open), "the service would refuse it", `tenant "open" may not use`)
	stolen := b.dead("open", map[string]any{"callback_queue": own, "model": "gemini-3-flash"})
	contains(t, b.command(1, "deadletters", "replay", stolen), "is not allowed")
}

// A dead letter of a release that knew no tenants, with what its requester said of one, is
// replayed as the default tenant's, and that is said.
func TestReplayOfAForgedTenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.declare(map[string]string{"acme": `{"weight":1,"isolated":true}`})
	id := servicetest.NewID()
	b.put(b.Names.Deadletter(events.UpstreamTimeout, id), nats.Header{"Gemini-Tenant": {"acme"}, "gemini-isolated": {"true"}, "gemini-lane": {"batch"}}, servicetest.Body(id, "hello", nil))
	failed := b.put(events.Failed(b.Names.ResponseQueue, id), nil, []byte("{}"))
	b.expect([]string{"deadletters", "replay", id}, fmt.Sprintf("follows the failed result %d; as the default tenant's", failed))
	for name := range b.message(b.Names.RetriesStream(), b.Names.Retries()).Header {
		if strings.EqualFold(name, events.HeaderTenant) || strings.EqualFold(name, events.HeaderIsolated) || strings.EqualFold(name, events.HeaderLane) {
			t.Errorf("it is replayed with %s", name)
		}
	}
}

// A request of an isolated tenant is cancelled on its own subject and looked for on its own
// callback; one of another tenant as anybody's.
func TestRequestOfATenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.declare(map[string]string{"acme": `{"weight":1,"isolated":true}`})
	id := servicetest.NewID()
	b.expect([]string{"cancel", "--tenant", "acme", id}, "cancelled")
	if m := b.message(b.Names.CancelsStream(), ">"); m.Subject != "gemini.cancels.acme."+id {
		t.Errorf("cancelled on %s", m.Subject)
	}
	b.put(events.Completed("gemini.responses.acme", id), nats.Header{events.HeaderTenant: {"acme"}}, []byte("{}"))
	b.expect([]string{"status", "--tenant", "acme", id}, "tenant      acme", "gemini.responses.acme.completed."+id, "cancelled")
	contains(t, b.command(1, "status", id), "unknown")
	contains(t, b.command(1, "status", "--tenant", "open", id), "unknown")
	b.expect([]string{"cancel", "--tenant", "open", id}, "cancelled")
	if m := b.message(b.Names.CancelsStream(), ">"); m.Subject != "gemini.cancels."+id {
		t.Errorf("cancelled on %s", m.Subject)
	}
	contains(t, b.command(2, "status", "--tenant", "acme"), "--tenant: give a request_id")
	contains(t, b.command(2, "cancel", "--tenant", "a.b", id), `tenant "a.b"`)
}
