package doctor_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/doctor"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

func TestMain(m *testing.M) { servicetest.VerifyTestMain(m) }

// bench is a deployment as docker-compose.yml makes it, seen by its worker, before
// anything is broken.
type bench struct {
	t    *testing.T
	nats *servicetest.NATS
	or   *servicetest.OpenRouter
	js   jetstream.JetStream // the admin's
	o    doctor.Options
}

// setup provisions a server. Each change is one of nats-server's options.
func setup(t *testing.T, changes ...func(*server.Options)) *bench {
	t.Helper()
	c, _, err := config.Load("", "")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, nats: servicetest.RunStackNATS(t, changes...), or: servicetest.RunOpenRouter(t, simulator.Config{})}
	b.js = b.nats.JetStream()
	c.BaseURL, c.APIKeys = b.or.URL, []string{servicetest.Key}
	c.NATS.URL = b.nats.URL
	b.o = doctor.Options{Config: c, Version: "test", Memory: config.Memory{Go: 900 << 20, Container: 1 << 30}, Now: time.Now}
	b.as(bus.RoleWorker)
	if err := bus.NewTopology(c, 8<<20).Provision(t.Context(), b.js); err != nil {
		t.Fatal(err)
	}
	return b
}

// as looks with the eyes of one of the users of nats.conf.
func (b *bench) as(role bus.Role) {
	user := string(role)
	b.o.As = role
	b.o.Config.User, b.o.Config.Password, b.o.Config.InboxPrefix = user, user, "_INBOX_"+user
	b.o.Config.APIPrefix, b.o.Config.Provision = "gemini.js", false
	if role == bus.RoleAdmin {
		b.o.Config.APIPrefix = "$JS.API"
	}
}

func (b *bench) look() doctor.Report {
	b.t.Helper()
	r := doctor.Run(b.t.Context(), b.o)
	b.holdsNoSecret(r)
	return r
}

// holdsNoSecret checks the page for people; the JSON object has the same texts.
func (b *bench) holdsNoSecret(r doctor.Report) {
	b.t.Helper()
	text := page(r)
	for _, secret := range append([]string{"hunter2", "0123456789abcdef"}, b.o.Config.APIKeys...) {
		if strings.Contains(text, secret) {
			b.t.Errorf("the report has the secret %q in it:\n%s", secret, text)
		}
	}
}

func page(r doctor.Report) string {
	var out bytes.Buffer
	r.Text(&out)
	return out.String()
}

// want checks one check of a report: its status, and words of its line, its details and
// its way out.
func want(t *testing.T, r doctor.Report, name string, status doctor.Status, words ...string) {
	t.Helper()
	i := slices.IndexFunc(r.Checks, func(c doctor.Check) bool { return c.Name == name && c.Status == status })
	if i < 0 {
		t.Errorf("want %s to be %s:\n%s", name, status, page(r))
		return
	}
	c := r.Checks[i]
	text := strings.Join(append([]string{c.Found, c.WayOut}, c.Details...), "\n")
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s does not say %q:\n%s", name, word, text)
		}
	}
	if (status == doctor.Warn || status == doctor.Fail) && c.WayOut == "" {
		t.Errorf("%s has no way out: %s", name, text)
	}
}

// allRight checks that nothing is wrong with a report.
func allRight(t *testing.T, r doctor.Report) {
	t.Helper()
	if r.Status != doctor.OK || r.Count[doctor.Warn]+r.Count[doctor.Fail] != 0 {
		t.Errorf("want all right:\n%s", page(r))
	}
}
