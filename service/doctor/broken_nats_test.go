package doctor_test

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/doctor"
	"gemini-client/service/servicetest"
)

// forbid takes rights of a user of nats.conf away.
func forbid(user string, subjects ...string) func(*server.Options) {
	return func(o *server.Options) {
		for _, u := range o.Users {
			if u.Username != user {
				continue
			}
			for _, of := range []*server.SubjectPermission{u.Permissions.Publish, u.Permissions.Subscribe} {
				of.Allow = slices.DeleteFunc(of.Allow, func(s string) bool { return slices.Contains(subjects, s) })
			}
		}
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.o.Config.Password = "hunter2"
	r := b.look()
	want(t, r, "server", doctor.OK, "answers")
	want(t, r, "login", doctor.Fail, "NATS refuses the login as worker", "Authorization Violation", "NATS_PASSWORD")
	want(t, r, "rights", doctor.Skip, "no connection to NATS")
	want(t, r, "model", doctor.OK) // goes on all the same
	b.o.Config.User = ""
	want(t, b.look(), "login", doctor.Fail, "this server wants a login")
}

func TestMissingRights(t *testing.T) {
	t.Parallel()
	b := setup(t, forbid("worker", "gemini.claims.>", "gemini.responses.>", "gemini.deltas.*", "gemini.cancels.*", "$JS.ACK.GEMINI_REQUESTS.*.>"))
	r := b.look()
	want(t, r, "rights", doctor.Fail, "lacks 6 of the", "4 of them needed",
		"publish gemini.claims.> (for claims: one worker calls for a request, and no other): this user's permissions refuse it",
		"publish gemini.responses.> (for results)", "publish gemini.deltas.* (it works without, but for answers while they are written)",
		"subscribe gemini.cancels.* (for cancellations", "publish $JS.ACK.GEMINI_REQUESTS.gemini-client.>", "deploy/nats/nats.conf")
	want(t, r, "streams", doctor.OK)
}

// What a role can do without is a warning.
func TestMissingSpareRight(t *testing.T) {
	t.Parallel()
	b := setup(t, forbid("worker", "gemini.deltas.*", "gemini.status"))
	r := b.look()
	want(t, r, "rights", doctor.Warn, "lacks 2 of the", "0 of them needed", "publish gemini.deltas.*", "subscribe gemini.status")
	if r.Status != doctor.Warn {
		t.Errorf("want a warning in all:\n%s", page(r))
	}
}

// A right that leads nowhere is none: an account that does not import what its user may.
func TestRightThatLeadsNowhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.as(bus.RoleBackend)
	if err := b.js.DeleteStream(t.Context(), "GEMINI_REQUESTS"); err != nil {
		t.Fatal(err)
	}
	want(t, b.look(), "rights", doctor.Fail, "publish gemini.requests (for requests): nobody answers there")
}

// A user that is another role's is told apart.
func TestAnotherRole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.as(bus.RoleBackend)
	b.o.As = bus.RoleWorker
	want(t, b.look(), "rights", doctor.Fail, "of the role worker", "or --as does not fit")
}

func TestWrongInboxPrefix(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.o.Config.InboxPrefix = "_INBOX"
	r := b.look()
	want(t, r, "rights", doctor.Fail, "NATS_INBOX_PREFIX=_INBOX: no answer would arrive")
	want(t, r, "streams", doctor.Skip)
}

func TestMissingStream(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"GEMINI_CLAIMS", "GEMINI_BATCH", "GEMINI_BUDGETS"} {
		if err := b.js.DeleteStream(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	b.o.Config.FleetBudget = "5/day"
	r := b.look()
	want(t, r, "streams", doctor.Fail, "stream GEMINI_CLAIMS is missing: nothing is answered without it", "gemini-client provision",
		"stream GEMINI_BATCH is missing: requests with tier batch", "stream GEMINI_BUDGETS is missing: under BUDGET nothing is called for")
	want(t, r, "rights", doctor.OK) // of what is not there nothing can be said
}

func TestConsumerChangedByHand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	change := func(edit func(*jetstream.ConsumerConfig)) {
		t.Helper()
		c, err := b.js.Consumer(t.Context(), "GEMINI_REQUESTS", bus.Durable)
		if err != nil {
			t.Fatal(err)
		}
		edited := c.CachedInfo().Config
		edit(&edited)
		if _, err := b.js.UpdateConsumer(t.Context(), "GEMINI_REQUESTS", edited); err != nil {
			t.Fatal(err)
		}
	}
	change(func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 3 })
	want(t, b.look(), "consumers", doctor.Fail, "consumer gemini-client of GEMINI_REQUESTS: max_deliver: the server has 3, the configuration wants -1 (harmful: requests would be stranded", "gemini-client provision")
	change(func(c *jetstream.ConsumerConfig) { c.MaxDeliver, c.AckWait = -1, time.Hour })
	r := b.look()
	want(t, r, "consumers", doctor.Warn, "ack_wait: the server has 1h0m0s, the configuration wants 30s")
	want(t, r, "ack wait", doctor.Warn, "longer than any call may take (CALL_TIMEOUT=10m0s)", "consumer gemini-client of GEMINI_REQUESTS: 1h0m0s", "set ACK_WAIT")
	change(func(c *jetstream.ConsumerConfig) { c.AckWait = time.Second })
	want(t, b.look(), "ack wait", doctor.Fail, "delivered again while they are being answered")
}

func TestStreamChangedByHand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, err := b.js.Stream(t.Context(), "GEMINI_REQUESTS")
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.Discard = jetstream.DiscardOld
	if _, err := b.js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	want(t, b.look(), "streams", doctor.Fail, "stream GEMINI_REQUESTS: discard", "harmful: a full queue would drop its oldest request")
}

func TestNoJetStream(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := servicetest.RunNATS(t, func(o *server.Options) { o.JetStream = false })
	b.o.Config.NATS = config.NATS{URL: n.URL, InboxPrefix: "_INBOX", APIPrefix: "$JS.API", Provision: true}
	r := b.look()
	want(t, r, "JetStream", doctor.Fail, "test has no JetStream", "enable JetStream")
	want(t, r, "streams", doctor.Skip, "JetStream does not answer")

	b.o.Config.NATS = config.NATS{URL: b.nats.URL, User: "worker", Password: "worker", InboxPrefix: "_INBOX_worker", APIPrefix: "$JS.API", Provision: true}
	want(t, b.look(), "rights", doctor.Fail, "If nearly all are missing, NATS_JS_API_PREFIX=$JS.API")
}

func TestNATSIsNotReachable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hangs, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0") // and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	b.o.Config.NATS.URL = "nats://worker:hunter2@127.0.0.1:1,nats://" + hangs.Addr().String()
	r := b.look()
	want(t, r, "server", doctor.Fail, "NATS is not reachable", "nats://****@127.0.0.1:1: connection refused", "timeout", "NATS_URL")
	want(t, r, "login", doctor.Skip)
	want(t, r, "clock", doctor.Skip, "no connection to NATS")

	b.o.Config.NATS.URL = "nats://me:4711,x@127.0.0.1:1" // the password has a comma
	r = b.look()
	want(t, r, "server", doctor.Fail, "server 1 of 2")
	if strings.Contains(page(r), "4711") {
		t.Errorf("a piece of the password:\n%s", page(r))
	}

	b.o.Config.NATS.URL = "nats://127.0.0.1:1," + b.nats.URL
	want(t, b.look(), "server", doctor.Warn, "1 of 2 servers are not reachable", "nats://127.0.0.1:1")
}
