//go:build integration

package stack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// password of a user in this test.
func password(user string) string { return "password of " + user }

// as returns the settings of a user.
func as(user string) settings {
	return settings{"NATS_USER": user, "NATS_PASSWORD": password(user), "NATS_INBOX_PREFIX": "_INBOX_" + user}
}

// What docker-compose.yml wires together works with the three users of
// deploy/nats/nats.conf: an admin provisions, a worker answers, a backend asks
// and reads, live and with its durable reader.
func TestThreeUsers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	net := s.network()
	config, err := os.ReadFile(filepath.Join(root, "deploy/nats/nats.conf"))
	s.must("configuration of NATS", err)
	var secrets strings.Builder
	for _, user := range []string{"admin", "worker", "backend"} {
		secrets.WriteString(strings.ToUpper(user) + `_PASSWORD: "` + password(user) + "\"\n")
	}
	secrets.WriteString("JETSTREAM_KEY: \"at rest\"\n")
	n := s.nats("nats", string(config), on(net, "nats"), file("/run/secrets/nats_secrets", secrets.String()))
	up := s.upstream(simulator.Config{})
	workerEnv := as("worker").and(settings{"OPENROUTER_BASE_URL": up.url, "NATS_PROVISION": "false", "NATS_JS_API_PREFIX": "gemini.js"})

	for range 2 { // a stack is started more than once
		adminEnv := as("admin").and(settings{"NATS_URL": "nats://nats:4222", "OPENROUTER_API_KEYS": servicetest.Key})
		code, output := s.finish("provision", []string{"provision", "--missing", "--reader", "backend"}, adminEnv, on(net, "provision"))
		if code != 0 || !strings.Contains(output, "GEMINI_REQUESTS") {
			t.Fatalf("provision: exit code %d: %s", code, output)
		}
	}
	w := s.worker("worker", workerEnv, on(net, "worker"))
	backend := s.backend(n.url, nats.UserInfo("backend", password("backend")), nats.CustomInboxPrefix("_INBOX_backend"))
	backend.JS, err = jetstream.NewWithAPIPrefix(backend.NC, "gemini.js")
	s.must("JetStream of the backend", err)
	id := servicetest.NewID()
	live, err := backend.NC.SubscribeSync(events.AnyResult("gemini.responses", id))
	s.must("subscribe", err)
	s.must("subscribe", backend.NC.Flush())
	backend.Publish(servicetest.Body(id, "Who are you?", nil), nil)

	want := events.Completed("gemini.responses", id)
	if m, err := live.NextMsgWithContext(backend.Context()); err != nil || m.Subject != want {
		t.Errorf("live: %+v, %v, want %s", m, err, want)
	}
	reader, err := backend.JS.Consumer(t.Context(), "GEMINI_RESPONSES", "backend")
	s.must("the durable reader", err)
	m, err := reader.Next(jetstream.FetchMaxWait(servicetest.Patience))
	s.must("read with the durable reader", err)
	s.must("acknowledge", m.DoubleAck(backend.Context()))
	if m.Subject() != want {
		t.Errorf("the durable reader has %s, want %s", m.Subject(), want)
	}
	w.leave() // the logs are whole then
	for line := range strings.Lines(w.log() + n.log()) {
		lower := strings.ToLower(line) // the server logs "Publish Violation", the client "permissions violation"
		if strings.Contains(lower, "refuses what the service needs") || strings.Contains(lower, "violation") || strings.Contains(lower, "authorization") {
			t.Errorf("a permission is missing: %s", line)
		}
	}
}
