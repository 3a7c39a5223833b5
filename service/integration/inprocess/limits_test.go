package inprocess_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// says waits until the service's log has a text.
func (b *bench) says(text string) {
	b.t.Helper()
	b.Until("the log says: "+text, func() (string, bool) { return "", strings.Contains(b.log.String(), text) })
}

// A full request queue refuses the publisher and loses nothing.
func TestRequestQueueFull(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.RequestsMaxBytes = 1 << 20 })
	b.provision()
	accepted := map[string]bool{}
	large := strings.Repeat("x", 100_000)
	for {
		id := servicetest.NewID()
		_, err := b.JS.Publish(b.Context(), b.Names.RequestQueue, servicetest.Body(id, large, nil))
		if err != nil {
			if !strings.Contains(err.Error(), "maximum bytes exceeded") {
				t.Fatalf("the publisher gets: %v", err)
			}
			break
		}
		accepted[id] = true
	}
	b.start()
	for id := range accepted {
		if got := b.Result(id); got.Result.Status != events.StatusSuccess {
			t.Errorf("result: %.200s", got.Body)
		}
	}
	b.Idle()
	b.Result(b.Ask("there is room again", nil))
}

// With the storage full no result can be stored: it waits in memory, its
// request stays unacknowledged, the log says so, and there is one call.
func TestStorageFull(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t, func(o *server.Options) { o.JetStreamMaxStore = 4 << 20 })
	b := setupOn(t, n, servicetest.RunOpenRouter(t, simulator.Config{}), func(c *config.Config) {
		c.RequestsMaxBytes, c.DeadlettersMaxBytes, c.RequestMaxBytes = 1<<20, 1<<20, 512<<10
	})
	b.start()
	release := b.openrouter.Hold()
	defer release()
	id := b.Ask("no room for the answer", nil)
	if err := b.openrouter.Wait(b.Context(), func(s simulator.Stats) bool { return s.Started == 1 }); err != nil {
		t.Fatal(err)
	}
	junk := make([]byte, 200_000)
	for {
		if _, err := b.JS.Publish(b.Context(), "gemini.responses.junk", junk); err != nil {
			break
		}
	}
	for { // and the crumbs
		if _, err := b.JS.Publish(b.Context(), "gemini.responses.junk", junk[:200]); err != nil {
			break
		}
	}
	release()
	b.says("NATS does not answer")
	if n := b.stream(b.Names.RequestsStream()).Msgs; n != 1 {
		t.Errorf("requests: got %d, want the 1 that is not answered", n)
	}
	results, err := b.JS.Stream(b.Context(), b.Names.ResponsesStream())
	if err != nil {
		t.Fatal(err)
	}
	if err := results.Purge(b.Context(), jetstream.WithPurgeSubject("gemini.responses.junk")); err != nil {
		t.Fatal(err)
	}
	if got := b.Result(id); got.Result.Status != events.StatusSuccess {
		t.Errorf("result: %s", got.Body)
	}
	b.Idle()
	if n := b.openrouter.Count(); n != 1 {
		t.Errorf("calls: got %d, want 1", n)
	}
}

// A consumer that somebody deletes is made again, whether NATS is connected or
// not at that moment.
func TestConsumerDeleted(t *testing.T) {
	t.Parallel()
	for _, connected := range []bool{true, false} {
		t.Run(fmt.Sprintf("connected %v", connected), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			r := b.start()
			b.Result(b.Ask("before", nil))
			b.Idle()
			if connected {
				b.deleteConsumers()
			} else {
				b.deleteConsumersWhileAway(r)
			}
			if got := b.Result(b.Ask("after", nil)); got.Result.Status != events.StatusSuccess {
				t.Errorf("result: %s", got.Body)
			}
		})
	}
}

func (b *bench) deleteConsumers() {
	b.t.Helper()
	for _, stream := range []string{b.Names.RequestsStream(), b.Names.RetriesStream()} {
		if err := b.JS.DeleteConsumer(b.Context(), stream, bus.Durable); err != nil {
			b.t.Fatal(err)
		}
	}
}

// deleteConsumersWhileAway restarts the server without its consumers.
func (b *bench) deleteConsumersWhileAway(r *replica) {
	b.t.Helper()
	b.nats.Stop()
	b.Until("the service has seen it", func() (string, bool) {
		text, ok := r.get("/readyz")
		return text, !ok
	})
	folders, err := filepath.Glob(filepath.Join(b.nats.Store(), "jetstream", "*", "streams", "*", "obs", bus.Durable))
	if err != nil || len(folders) != 2 {
		b.t.Fatalf("consumers on disk: %v, %v", folders, err)
	}
	for _, folder := range folders {
		if err := os.RemoveAll(folder); err != nil {
			b.t.Fatal(err)
		}
	}
	b.nats.Start()
	b.Until("the backend is connected", func() (string, bool) { return b.NC.Status().String(), b.NC.IsConnected() })
}

// Without NATS_PROVISION the service waits for a deleted consumer, and logs it.
func TestConsumerDeletedWithoutProvision(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.Provision = false })
	b.provision()
	b.loseConsumers(b.start(), b.Backend)
}

// The same with the least rights, where JetStream is another account's.
func TestConsumerDeletedWithLeastPrivilege(t *testing.T) {
	t.Parallel()
	s := runStack(t)
	s.loseConsumers(s.start(), s.backend)
}

func (b *bench) loseConsumers(r *replica, backend *servicetest.Backend) {
	b.t.Helper()
	b.Result(backend.Ask("before", nil))
	b.Idle()
	b.deleteConsumers()
	id := backend.Ask("after", nil)
	b.says("the queue cannot be read")
	b.Until("it is not ready", func() (string, bool) {
		text, ready := r.get("/readyz")
		return text, !ready && strings.Contains(text, "cannot be read")
	})
	b.provision()
	r.waitReady()
	if got := b.Result(id); got.Result.Status != events.StatusSuccess {
		b.t.Errorf("result: %s", got.Body)
	}
	b.says("the queue can be read again")
}

// A missing permission is logged with its subject, once and not with every pull,
// and nothing is lost.
func TestPermissionMissing(t *testing.T) {
	t.Parallel()
	forbidden := "$JS.API.CONSUMER.MSG.NEXT.GEMINI_REQUESTS.>"
	n := servicetest.RunNATS(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "worker", Password: "w", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{forbidden}}}},
			{Username: "admin", Password: "a"},
		}
		o.NoAuthUser = "admin"
	})
	b := setupOn(t, n, servicetest.RunOpenRouter(t, simulator.Config{}), func(c *config.Config) { c.User, c.Password = "worker", "w" })
	r := b.start()
	id := b.Ask("nobody may take it", nil)
	b.says(`ermissions Violation for Publish to \"$JS.API.CONSUMER.MSG.NEXT.GEMINI_REQUESTS.gemini-client`)
	b.Until("it is not ready", func() (string, bool) {
		text, ready := r.get("/readyz")
		return text, !ready && strings.Contains(text, "cannot be read")
	})
	b.Publish(servicetest.Body(servicetest.NewID(), "nor this", nil), nil)
	before := n.Received()
	b.Until("more pulls were refused", func() (string, bool) {
		now := n.Received()
		return fmt.Sprint(now - before), now > before+5
	})
	if n := strings.Count(b.log.String(), `MSG.NEXT.GEMINI_REQUESTS.gemini-client`); n != 1 {
		t.Errorf("the log says it %d times", n)
	}
	if n := b.stream(b.Names.RequestsStream()).Msgs; n != 2 {
		t.Errorf("requests left: got %d, want 2", n)
	}
	b.config.User, b.config.Password = "admin", "a"
	b.start()
	b.Result(id)
}

// Credentials that are not accepted any more are tried again until they are; a
// password in a file is read again.
func TestCredentialsExpire(t *testing.T) {
	t.Parallel()
	password := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		if err := os.WriteFile(password, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	current := "old"
	n := servicetest.RunNATS(t, func(o *server.Options) {
		o.CustomClientAuthentication = check(func(user, pass string) bool { return user != "worker" || pass == current })
	})
	b := setupOn(t, n, servicetest.RunOpenRouter(t, simulator.Config{}), func(c *config.Config) { c.User, c.PasswordFile = "worker", password })
	r := b.start()
	b.Result(b.Ask("before", nil))
	n.Stop()
	current = "new"
	n.Start()
	b.says("uthorization")
	write("new")
	r.waitReady()
	if got := b.Result(b.Ask("after", nil)); got.Result.Status != events.StatusSuccess {
		t.Errorf("result: %s", got.Body)
	}
}

// check is a server's authentication by a function.
type check func(user, password string) bool

func (c check) Check(client server.ClientAuthentication) bool {
	o := client.GetOpts()
	return c(o.Username, o.Password)
}

// Headers near JetStream's limit (65,535 bytes) leave no room for those of the
// service. What cannot be carried on is left behind: the slots stay free, and each
// request has its end.
func TestHeadersNearTheLimit(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.Concurrency, c.MaxRetries, c.RetryDelays = 2, 1, []int{1} })
	b.start()
	heavy := nats.Header{"X": {strings.Repeat("x", 65_400)}}
	for range 2 {
		b.Publish([]byte(`{"prompt":"no id"}`), heavy)
	}
	id := servicetest.NewID()
	b.Publish(servicetest.Body(id, "nothing [sim:empty]", nil), heavy)
	b.Result(b.Ask("a neighbour", nil))
	if got := b.Result(id); got.Result.Status != events.StatusError || got.Result.RetryCount != 1 {
		t.Errorf("result: %s", got.Body)
	}
	b.Idle()
	if n := b.stream(b.Names.DeadlettersStream()).Msgs; n != 3 {
		t.Errorf("dead letters: got %d, want 3", n)
	}
}
