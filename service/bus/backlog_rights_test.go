package bus

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// What NATS refuses is said once, with the metric that is missing, and the
// others are there.
func TestBacklogWithoutRights(t *testing.T) {
	t.Parallel()
	const oldest, letters = "$JS.API.STREAM.MSG.GET.GEMINI_REQUESTS", "$JS.API.STREAM.INFO.GEMINI_DEADLETTERS"
	n := servicetest.RunNATS(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "worker", Password: "w", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{oldest, letters, "other"}}}},
			{Username: "admin", Password: "a"},
		}
		o.NoAuthUser = "admin"
	})
	b := newBacklogBench(t, n, func(c *config.Config) { c.User, c.Password = "worker", "w" })
	b.put(&nats.Msg{Subject: b.bench.Names.RequestQueue})
	for range 3 {
		b.read(t.Context())
	}
	messages, ages := b.seen(time.Now())
	if _, there := messages["gemini.deadletters dead"]; there || len(messages) != 5 || messages["gemini.requests waiting"] != 1 {
		t.Errorf("messages: %v, want all but the dead letters", messages)
	}
	if _, there := ages["gemini.requests"]; there || len(ages) != 1 {
		t.Errorf("oldest: %v, want that of the retries alone", ages)
	}
	for subject, metric := range map[string]string{oldest: "gemini_queue_oldest_age_seconds", letters: "gemini_queue_messages"} {
		if strings.Count(b.bench.log.String(), "subject="+subject) != 1 || !strings.Contains(b.bench.log.String(), "metric="+metric+" subject="+subject) {
			t.Errorf("want one line about %s and %s:\n%s", metric, subject, b.bench.log)
		}
	}
	if err := b.conn.Publish("other", nil); err != nil {
		t.Fatal(err)
	}
	b.Until("what is not ours is said as well", func() (string, bool) {
		text := b.bench.log.String()
		return text, strings.Contains(text, `to \"other\"`)
	})
	b.denied[nextMessage("GEMINI_REQUESTS")] = b.denied[nextMessage("GEMINI_REQUESTS")].Add(-deniedRetryIn)
	b.read(t.Context())
	if !time.Now().Add(-deniedRetryIn / 2).Before(b.denied[nextMessage("GEMINI_REQUESTS")]) {
		t.Error("it was not asked again")
	}
	if n := strings.Count(b.bench.log.String(), "\n"); n != 3 {
		t.Errorf("%d lines in the log, want 3:\n%s", n, b.bench.log)
	}
}

// A right that is missing because an account does not import the subject is a
// question that nobody answers, while others are answered.
func TestBacklogWithoutImport(t *testing.T) {
	t.Parallel()
	b := newBacklogBench(t, servicetest.RunNATS(t))
	b.conn.api = config.NATS{APIPrefix: "elsewhere"}.API
	b.read(t.Context())
	if b.bench.log.String() != "" {
		t.Errorf("JetStream is away, and the log says: %s", b.bench.log)
	}
	forward, err := b.NC.Subscribe("elsewhere.CONSUMER.>", func(m *nats.Msg) {
		m.Subject = "$JS.API" + strings.TrimPrefix(m.Subject, "elsewhere")
		if err := b.NC.PublishMsg(m); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer forward.Unsubscribe()
	if err := b.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	b.read(t.Context())
	if strings.Contains(b.bench.log.String(), "elsewhere") {
		t.Errorf("once may be a restart of NATS, and the log says: %s", b.bench.log)
	}
	b.read(t.Context())
	if !strings.Contains(b.bench.log.String(), "subject=elsewhere.STREAM.INFO.GEMINI_DEADLETTERS") {
		t.Errorf("the log does not name the subject: %s", b.bench.log)
	}
}

// The rights of the worker in deploy/nats/nats.conf suffice for all of it.
func TestBacklogWithLeastPrivilege(t *testing.T) {
	t.Parallel()
	n := servicetest.RunStackNATS(t)
	b := newBacklogBench(t, n, func(c *config.Config) { c.User, c.Password, c.InboxPrefix = "worker", "worker", "_INBOX_worker" })
	b.conn.api = config.NATS{APIPrefix: "gemini.js"}.API
	if _, err := n.Connect(servicetest.User("backend")...).Request(b.bench.Names.RequestQueue, nil, servicetest.Patience); err != nil {
		t.Fatal(err)
	}
	b.put(&nats.Msg{Subject: b.bench.Names.Retries()})
	b.counted("GEMINI_REQUESTS", 1)
	b.counted("GEMINI_RETRIES", 1)
	b.read(t.Context())
	messages, oldest := b.seen(time.Now())
	if len(messages) != 6 || messages["gemini.requests waiting"] != 1 || oldest["gemini.requests"] == 0 || oldest["gemini.retries"] == 0 || b.bench.log.String() != "" {
		t.Errorf("messages %v, oldest %v; the log says: %s", messages, oldest, b.bench.log)
	}
}
