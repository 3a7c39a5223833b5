package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// tenant is what show --json says of one.
func (b *bench) tenant(name string) (s tenantState) {
	b.t.Helper()
	out := b.command(0, "tenants", "show", name, "--json")
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	return s
}

// publish puts a request into a tenant's lane.
func (b *bench) publish(tenant string, lane events.Lane, id string) {
	b.t.Helper()
	if _, err := b.JS.Publish(b.Context(), b.Names.Requests(tenant, lane), servicetest.Body(id, secret, nil)); err != nil {
		b.t.Fatal(err)
	}
}

// A set changes what its flags say and nothing else; an empty value takes away.
func TestTenantsSet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.expect([]string{"tenants", "list"}, "no tenants are declared")
	b.expect([]string{"tenants", "set", "acme", "--weight", "3", "--max-in-flight", "20", "--requests-per-minute", "600", "--tokens-per-minute", "1000000", "--budget", "5/day,100/month", "--when-spent", "fail", "--models", "google/*,~google/*", "--note", "ask Ann"}, "gemini.requests.acme.batch")
	b.command(0, "tenants", "set", "acme", "--weight", "4")
	s := b.tenant("acme")
	if s.Name != "acme" || s.Weight != 4 || s.MaxInFlight != 20 || s.RequestsPerMinute != 600 || s.TokensPerMinute != 1_000_000 || s.Budget.String() != "5/day,100/month" || s.WhenSpent != "fail" || len(s.Models) != 2 || s.Note != "ask Ann" || s.Interactive == nil || s.Batch == nil {
		t.Errorf("got %+v", s)
	}
	b.command(0, "tenants", "set", "acme", "--budget", "", "--models", "", "--max-in-flight", "0", "--batch-only")
	if s := b.tenant("acme"); !s.Budget.IsZero() || s.Models != nil || s.MaxInFlight != 0 || !s.BatchOnly || s.Weight != 4 {
		t.Errorf("got %+v", s)
	}
	contains(t, b.command(2, "tenants", "set", "acme", "--weight", "0", "--budget", "5/year", "--when-spent", "never", "--models", "["), "weight: is 0", `budget: "5/year"`, `when_spent: is "never"`, `models: "["`)
	if s := b.tenant("acme"); s.Weight != 4 {
		t.Errorf("a refused change: %+v", s)
	}
	b.command(2, "tenants", "set", "a.b")
	contains(t, b.command(1, "tenants", "show", "nobody"), "nobody is not declared")
	b.command(0, "tenants", "set", "default", "--weight", "2")
	b.publish("acme", events.LaneBatch, servicetest.NewID())
	b.expect([]string{"tenants", "list"}, "TENANT", "acme     4       -          600", "default  2")
	out := b.command(0, "tenants", "list", "--json")
	var first tenantState
	if err := json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &first); err != nil || first.Name != "acme" || first.Batch.Waiting != 1 || strings.Count(out, "\n") != 2 {
		t.Errorf("%v: %s", err, out)
	}
	b.expect([]string{"tenants", "show", "acme"}, "1 waiting, 0 in flight", "batch only           yes", "ask Ann")
}

func TestTenantsRemove(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.command(0, "tenants", "set", "acme")
	for range 3 {
		b.publish("acme", events.LaneInteractive, servicetest.NewID())
	}
	contains(t, b.command(2, "tenants", "remove", "acme"), "3 wait and 0 are in flight", "--force --yes")
	contains(t, b.command(2, "tenants", "remove", "acme", "--force"), "3 requests of acme wait", "--yes")
	if s := b.tenant("acme"); s.Interactive.Waiting != 3 {
		t.Errorf("got %+v", s)
	}
	b.expect([]string{"tenants", "remove", "acme", "--force", "--yes"}, "3 requests were deleted unanswered")
	if _, err := b.JS.Publish(b.Context(), "gemini.requests.acme", []byte("{}"), jetstream.WithRetryAttempts(0)); !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Errorf("publishing for a removed tenant: %v", err)
	}
	b.command(1, "tenants", "remove", "acme")
	b.command(0, "tenants", "set", "default", "--weight", "2")
	b.command(0, "tenants", "remove", "default")
	b.Ask(secret, nil)
}

// A request of an isolated tenant is found in the queues, in either lane.
func TestStatusOfIsolatedInQueues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.command(0, "tenants", "set", "acme", "--isolated")
	for _, lane := range []events.Lane{events.LaneInteractive, events.LaneBatch} {
		id := servicetest.NewID()
		b.publish("acme", lane, id)
		b.expect([]string{"status", "--tenant", "acme", id}, "queued      GEMINI_REQUESTS/", "tenant      acme")
	}
	contains(t, b.command(2, "tenants", "remove", "*"), `"*" is no tenant's name`, "tenants list")
	b.tenant("acme")
}

// status shows the lanes in which something is, and finds a tenant's request; pause takes
// one tenant, or all.
func TestStatusAndPauseOfTenants(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if out := b.command(0, "status", "--json"); strings.Contains(out, "lanes") {
		t.Errorf("no tenant is declared: %s", out)
	}
	b.command(0, "tenants", "set", "acme")
	b.command(0, "tenants", "set", "beta")
	id := servicetest.NewID()
	b.publish("acme", events.LaneInteractive, servicetest.NewID())
	b.publish("acme", events.LaneInteractive, id)
	b.publish("beta", events.LaneBatch, servicetest.NewID())
	out := b.expect([]string{"status"}, "tenant       acme, interactive: 2 waiting, 0 in flight", "tenant       beta, batch: 1 waiting", "intake       open")
	if strings.Contains(out, "beta, interactive") {
		t.Errorf("a lane in which nothing is:\n%s", out)
	}
	if o := b.status(); len(o.Lanes) != 5 || len(o.Unseen) != 0 {
		t.Errorf("%+v", o)
	}
	b.expect([]string{"status", id}, "queued      GEMINI_REQUESTS/2", "1 waiting before it")
	b.command(0, "pause", "--tenant", "beta", "--for", "1h")
	b.expect([]string{"status"}, "beta, batch: 1 waiting, 0 in flight, paused until", "beta, interactive: 0 waiting, 0 in flight, paused until", "acme, interactive: 2 waiting, 0 in flight\n", "intake       open")
	b.command(0, "pause")
	b.expect([]string{"status"}, "acme, interactive: 2 waiting, 0 in flight, paused until", "requests paused until")
	b.command(0, "resume", "--tenant", "beta")
	b.expect([]string{"status"}, "beta, batch: 1 waiting, 0 in flight\n", "requests paused until")
	if out := b.command(0, "resume"); strings.Contains(b.command(0, "status"), "paused") {
		t.Errorf("it is still paused after: %s", out)
	}
	contains(t, b.command(1, "pause", "--tenant", "nobody"), "nobody is not declared")
}

// A right that is missing is named.
func TestTenantsOfALimitedUser(t *testing.T) {
	t.Parallel()
	limited := &server.User{Username: "limited", Password: "secret", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$KV.>"}}}}
	b := setup(t, func(o *server.Options) { o.Users = []*server.User{{Username: "admin", Password: "secret"}, limited} })
	b.as("admin")
	b.command(0, "provision")
	b.as("limited")
	contains(t, b.command(2, "tenants", "set", "acme"), "this NATS user may not do that", "$KV.GEMINI_TENANTS.acme")
	b.as("admin")
	b.command(0, "tenants", "set", "acme")
	b.as("limited")
	contains(t, b.command(2, "tenants", "remove", "acme"), "this NATS user may not do that", "$KV.GEMINI_TENANTS.acme")
}

// With NATS away a command says so.
func TestTenantsWithoutNATS(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t)
	p := newProgram(t, map[string]any{"NATS_URL": n.URL})
	if code, _, errs := p.invoke("", "tenants", "list"); code != 0 {
		t.Errorf("without streams: exit code %d: %s", code, errs)
	}
	if code, _, errs := p.invoke("", "tenants", "set", "acme"); code != 2 || !strings.Contains(errs, "gemini-client provision") {
		t.Errorf("without streams: exit code %d: %s", code, errs)
	}
}

// With the rights of nats.conf an admin declares tenants, and a worker, which may create
// nothing, hears of each change.
func TestTenantsInTheAccounts(t *testing.T) {
	t.Parallel()
	n := servicetest.RunStackNATS(t)
	p := newProgram(t, map[string]any{"OPENROUTER_API_KEYS": []string{servicetest.Key}, "OPENROUTER_BASE_URL": nowhere, "HTTP_ADDR": "127.0.0.1:0", "LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG"})
	as := func(user, api string) string {
		return contextFile(t, map[string]string{"url": n.URL, "user": user, "password": user, "inbox_prefix": "_INBOX_" + user, "jetstream_api_prefix": api})
	}
	admin := func(want int, args ...string) string {
		t.Helper()
		code, out, errs := p.invoke("", append([]string{"--context", as("admin", "")}, args...)...)
		if code != want {
			t.Errorf("%v: exit code %d: %s%s", args, code, out, errs)
		}
		return out + errs
	}
	admin(1, "provision", "--dry-run")
	admin(0, "provision")
	admin(0, "provision", "--dry-run")
	admin(0, "tenants", "set", "acme", "--weight", "2")
	p.set("NATS_PROVISION", false)
	p.set("NATS_CONTEXT", as("worker", "gemini.js"))
	out, stop := p.start("serve")
	await(t, out, "answering requests", "model")
	changes := func(n int) {
		t.Helper()
		(&servicetest.Backend{T: t}).Until("the worker hears of it", func() (string, bool) {
			text := out.String()
			return text, strings.Count(text, "declared tenants have changed") == n
		})
	}
	changes(1) // at the start
	admin(0, "tenants", "set", "beta")
	changes(2)
	contains(t, admin(0, "tenants", "list"), "acme", "beta")
	contains(t, admin(0, "tenants", "show", "acme"), "0 waiting, 0 in flight")
	admin(0, "pause", "--tenant", "acme", "--for", "1m")
	contains(t, admin(0, "status"), "acme, batch: 0 waiting, 0 in flight, paused until")
	admin(0, "resume")
	admin(0, "tenants", "remove", "acme")
	changes(3)
	if code := stop(); code != 0 || strings.Contains(out.String(), "Permissions Violation") {
		t.Errorf("serve: exit code %d: %s", code, out)
	}
}
