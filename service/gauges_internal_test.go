package service

import (
	"context"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// gaugeBench is a server with the service's streams, an admin on it, and
// gauges on a connection of their own.
type gaugeBench struct {
	*gauges
	*servicetest.Backend
	t   *testing.T
	log *strings.Builder
}

func newGaugeBench(t *testing.T, n *servicetest.NATS, options ...nats.Option) *gaugeBench {
	t.Helper()
	b := servicetest.NewBackend(t, n)
	c, _, err := config.Load("")
	if err != nil {
		t.Fatal(err)
	}
	if err := NewTopology(&c, b.NC.MaxPayload()).Provision(t.Context(), b.JS); err != nil {
		t.Fatal(err)
	}
	log := &strings.Builder{}
	g := newGauges(n.Connect(options...), c.API, c.Names(), slog.New(slog.NewTextHandler(log, nil)))
	return &gaugeBench{gauges: g, Backend: b, t: t, log: log}
}

func (b *gaugeBench) put(m *nats.Msg, options ...jetstream.PublishOpt) {
	b.t.Helper()
	if _, err := b.JS.PublishMsg(b.Context(), m, options...); err != nil {
		b.t.Fatalf("publish to %s: %v", m.Subject, err)
	}
}

// deliver takes messages from a queue and does not settle them.
func (b *gaugeBench) deliver(stream string, n int) {
	b.t.Helper()
	consumer, err := b.JS.Consumer(b.Context(), stream, Durable)
	if err != nil {
		b.t.Fatal(err)
	}
	batch, err := consumer.FetchNoWait(n)
	if err != nil {
		b.t.Fatal(err)
	}
	for range batch.Messages() {
		n--
	}
	if n != 0 || batch.Error() != nil {
		b.t.Fatalf("%d messages were not delivered: %v", n, batch.Error())
	}
}

// stored returns when a message was stored.
func (b *gaugeBench) stored(stream string, sequence uint64) time.Time {
	b.t.Helper()
	s, err := b.JS.Stream(b.Context(), stream)
	if err != nil {
		b.t.Fatal(err)
	}
	m, err := s.GetMsg(b.Context(), sequence)
	if err != nil {
		b.t.Fatal(err)
	}
	return m.Time
}

// seen returns what a scrape would, as text.
func (b *gaugeBench) seen(now time.Time) (map[string]int64, map[string]time.Duration) {
	q := b.numbers(now)
	messages, oldest := map[string]int64{}, map[string]time.Duration{}
	for _, m := range q.Messages {
		messages[m.Queue+" "+m.State] = m.Count
	}
	for _, o := range q.Oldest {
		oldest[o.Queue] = o.Age
	}
	return messages, oldest
}

func TestGauges(t *testing.T) {
	t.Parallel()
	b := newGaugeBench(t, servicetest.RunNATS(t))
	if messages, oldest := b.seen(time.Now()); len(messages)+len(oldest) > 0 {
		t.Errorf("before the first reading: %v, %v", messages, oldest)
	}
	b.read(t.Context())
	empty := map[string]int64{
		"gemini.requests waiting": 0, "gemini.requests at_work": 0, "gemini.retries waiting": 0,
		"gemini.retries at_work": 0, "gemini.retries later": 0, "gemini.deadletters dead": 0,
	}
	if messages, oldest := b.seen(time.Now()); !maps.Equal(messages, empty) || !maps.Equal(oldest, map[string]time.Duration{"gemini.requests": 0, "gemini.retries": 0}) {
		t.Errorf("of empty queues: %v, %v", messages, oldest)
	}
	for range 4 {
		b.put(&nats.Msg{Subject: b.Backend.Names.RequestQueue})
	}
	b.put(&nats.Msg{Subject: b.Backend.Names.Retries()})
	for _, id := range []string{"a", "b"} {
		b.put(&nats.Msg{Subject: b.Backend.Names.Later("gemini.responses", id)},
			jetstream.WithScheduleAt(time.Now().Add(time.Hour)), jetstream.WithScheduleTarget(b.Backend.Names.Retries()))
	}
	b.put(&nats.Msg{Subject: b.Backend.Names.Deadletter(events.Internal, "a")})
	b.deliver("GEMINI_REQUESTS", 1)
	b.read(t.Context())
	want := map[string]int64{
		"gemini.requests waiting": 3, "gemini.requests at_work": 1, "gemini.retries waiting": 1,
		"gemini.retries at_work": 0, "gemini.retries later": 2, "gemini.deadletters dead": 1,
	}
	now := time.Now()
	messages, oldest := b.seen(now)
	if !maps.Equal(messages, want) {
		t.Errorf("messages: got %v, want %v", messages, want)
	}
	for queue, since := range map[string]time.Time{"gemini.requests": b.stored("GEMINI_REQUESTS", 2), "gemini.retries": b.stored("GEMINI_RETRIES", 1)} {
		if got := oldest[queue]; got != now.Sub(since) {
			t.Errorf("the oldest of %s waits for %s, want %s", queue, got, now.Sub(since))
		}
	}
	if b.log.Len() > 0 {
		t.Errorf("the log says: %s", b.log)
	}
}

// Numbers that are old are not reported, and NATS that is away delays nobody.
func TestOldGaugesVanish(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t)
	b := newGaugeBench(t, n)
	b.read(t.Context())
	last := time.Now()
	n.Stop()
	b.Until("the connection is lost", func() (string, bool) { return "", !b.gauges.nc.IsConnected() })
	b.read(t.Context())
	if messages, oldest := b.seen(last.Add(staleAfter / 2)); len(messages) != 6 || len(oldest) != 2 {
		t.Errorf("numbers that are young: %v, %v", messages, oldest)
	}
	if messages, oldest := b.seen(last.Add(staleAfter + time.Second)); len(messages)+len(oldest) > 0 {
		t.Errorf("numbers that are old: %v, %v", messages, oldest)
	}
	if age := b.oldestAge(-time.Hour); age != 0 {
		t.Errorf("by a clock that is behind the server's, the oldest waits for %s", age)
	}
	n.Start()
	b.Until("the connection is there again", func() (string, bool) { return "", b.gauges.nc.IsConnected() })
	b.Until("the numbers are read again", func() (string, bool) {
		b.read(t.Context())
		messages, _ := b.seen(time.Now())
		return "", len(messages) == 6
	})
}

// oldestAge is what is reported of a message that was stored so long ago.
func (b *gaugeBench) oldestAge(ago time.Duration) time.Duration {
	now := time.Now()
	b.oldest["gemini.requests"] = oldestWaiting{at: now, since: now.Add(-ago)}
	_, oldest := b.seen(now)
	return oldest["gemini.requests"]
}

// The oldest message is looked up again only when another one may be it.
func TestQueueThatStandsStillCostsNothing(t *testing.T) {
	t.Parallel()
	b := newGaugeBench(t, servicetest.RunNATS(t))
	asked, err := b.NC.SubscribeSync("$JS.API.STREAM.MSG.GET.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		b.put(&nats.Msg{Subject: b.Backend.Names.RequestQueue})
	}
	read := func(why string, questions int, oldest uint64) {
		t.Helper()
		b.read(t.Context())
		if err := b.NC.Flush(); err != nil {
			t.Fatal(err)
		}
		if n, _, err := asked.Pending(); n != questions || err != nil {
			t.Errorf("%s: %d questions, want %d (%v)", why, n, questions, err)
		}
		if oldest > 0 && !b.oldest["gemini.requests"].since.Equal(b.stored("GEMINI_REQUESTS", oldest)) {
			t.Errorf("%s: the oldest is of %s, want message %d", why, b.oldest["gemini.requests"].since, oldest)
		}
		for n, _, _ := asked.Pending(); n > 0; n, _, _ = asked.Pending() { // those of stored
			if _, err := asked.NextMsg(servicetest.Patience); err != nil {
				t.Fatal(err)
			}
		}
	}
	read("the first time", 1, 1)
	read("nothing has changed", 0, 1)
	b.put(&nats.Msg{Subject: b.Backend.Names.RequestQueue})
	read("one more", 0, 1)
	b.deliver("GEMINI_REQUESTS", 2)
	read("two were delivered", 1, 3)
	s, err := b.JS.Stream(b.Context(), "GEMINI_REQUESTS")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(b.Context(), 3); err != nil {
		t.Fatal(err)
	}
	read("the oldest was deleted", 1, 4)
	b.deliver("GEMINI_REQUESTS", 2)
	read("nothing waits", 0, 0)
}

// What NATS refuses is said once, with the metric that is missing, and the
// others are there.
func TestGaugesWithoutRights(t *testing.T) {
	t.Parallel()
	const oldest, letters = "$JS.API.STREAM.MSG.GET.GEMINI_REQUESTS", "$JS.API.STREAM.INFO.GEMINI_DEADLETTERS"
	n := servicetest.RunNATS(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "worker", Password: "w", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{oldest, letters, "other"}}}},
			{Username: "admin", Password: "a"},
		}
		o.NoAuthUser = "admin"
	})
	b := newGaugeBench(t, n, nats.UserInfo("worker", "w"))
	others := make(chan error, 10)
	b.gauges.nc.SetErrorHandler(b.listen(func(_ *nats.Conn, _ *nats.Subscription, err error) { others <- err }))
	b.put(&nats.Msg{Subject: b.Backend.Names.RequestQueue})
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
		if strings.Count(b.log.String(), "subject="+subject) != 1 || !strings.Contains(b.log.String(), "metric="+metric+" subject="+subject) {
			t.Errorf("want one line about %s and %s:\n%s", metric, subject, b.log)
		}
	}
	if err := b.gauges.nc.Publish("other", nil); err != nil {
		t.Fatal(err)
	}
	if err := <-others; !strings.Contains(err.Error(), `"other"`) || len(others) > 0 {
		t.Errorf("the connection's handler got %v, and %d more; want what is not ours alone", err, len(others))
	}
	b.refused[oldest] = b.refused[oldest].Add(-askAgain)
	b.read(t.Context())
	if !time.Now().Add(-askAgain / 2).Before(b.refused[oldest]) {
		t.Error("it was not asked again")
	}
	if n := strings.Count(b.log.String(), "\n"); n != 2 {
		t.Errorf("%d lines in the log, want 2:\n%s", n, b.log)
	}
}

// A right that is missing because an account does not import the subject is a
// question that nobody answers, while others are answered.
func TestGaugesWithoutImport(t *testing.T) {
	t.Parallel()
	b := newGaugeBench(t, servicetest.RunNATS(t))
	b.api = config.NATS{APIPrefix: "elsewhere"}.API
	b.read(t.Context())
	if b.log.Len() > 0 {
		t.Errorf("JetStream is away, and the log says: %s", b.log)
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
	if strings.Contains(b.log.String(), "elsewhere") {
		t.Errorf("once may be a restart of NATS, and the log says: %s", b.log)
	}
	b.read(t.Context())
	if !strings.Contains(b.log.String(), "subject=elsewhere.STREAM.INFO.GEMINI_DEADLETTERS") {
		t.Errorf("the log does not name the subject: %s", b.log)
	}
}

// A question that is not answered holds up no scrape, and ends with the service.
func TestGaugesNeverBlock(t *testing.T) {
	t.Parallel()
	b := newGaugeBench(t, servicetest.RunNATS(t))
	b.read(t.Context())
	b.api = config.NATS{APIPrefix: "silence"}.API
	asked, err := b.NC.SubscribeSync("silence.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.run(ctx)
	}()
	if _, err := asked.NextMsg(servicetest.Patience); err != nil {
		t.Fatal(err)
	}
	if messages, _ := b.seen(time.Now()); len(messages) != 6 {
		t.Errorf("during a question: %v", messages)
	}
	cancel()
	<-ended
}

// The rights of the worker in deploy/nats/nats.conf suffice for all of it.
func TestGaugesWithLeastPrivilege(t *testing.T) {
	t.Parallel()
	n := servicetest.RunStackNATS(t)
	b := newGaugeBench(t, n, servicetest.User("worker")...)
	b.api = config.NATS{APIPrefix: "gemini.js"}.API
	b.gauges.nc.SetErrorHandler(b.listen(func(_ *nats.Conn, _ *nats.Subscription, err error) { t.Errorf("NATS reports: %v", err) }))
	if _, err := n.Connect(servicetest.User("backend")...).Request(b.Backend.Names.RequestQueue, nil, servicetest.Patience); err != nil {
		t.Fatal(err)
	}
	b.put(&nats.Msg{Subject: b.Backend.Names.Retries()})
	b.read(t.Context())
	messages, oldest := b.seen(time.Now())
	if len(messages) != 6 || messages["gemini.requests waiting"] != 1 || oldest["gemini.requests"] == 0 || oldest["gemini.retries"] == 0 || b.log.Len() > 0 {
		t.Errorf("messages %v, oldest %v; the log says: %s", messages, oldest, b.log)
	}
}
