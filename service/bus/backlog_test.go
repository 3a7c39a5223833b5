package bus

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// backlogBench is a server with the service's streams, an admin on it, and a
// backlog on a connection of its own.
type backlogBench struct {
	*bench
	*backlog
}

func newBacklogBench(t *testing.T, n *servicetest.NATS, changes ...func(*config.Config)) *backlogBench {
	t.Helper()
	late := func(c *config.Config) { c.AckWait = time.Minute } // what comes again would be taken for the next one
	b := setupOn(t, n, append([]func(*config.Config){late}, changes...)...)
	b.provision()
	conn := b.connect()
	return &backlogBench{bench: b, backlog: newBacklog(conn, b.config.Names(), slog.New(slog.NewTextHandler(b.log, nil)), func(context.Context, int64) {})}
}

func (b *backlogBench) put(m *nats.Msg, options ...jetstream.PublishOpt) {
	b.t.Helper()
	if _, err := b.JS.PublishMsg(b.Context(), m, options...); err != nil {
		b.t.Fatalf("publish to %s: %v", m.Subject, err)
	}
}

// deliver takes messages from a queue and does not settle them.
func (b *backlogBench) deliver(stream string, n int) {
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

// counted waits until a queue's consumer has counted what waits: it learns of a
// message after its publisher does.
func (b *backlogBench) counted(stream string, waiting uint64) {
	b.t.Helper()
	b.Until("the consumer has counted them", func() (string, bool) {
		d, err := b.conn.Depth(b.Context(), stream)
		return fmt.Sprint(d, err), err == nil && d.Waiting == waiting
	})
}

// stored returns when a message was stored.
func (b *backlogBench) stored(stream string, sequence uint64) time.Time {
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
func (b *backlogBench) seen(now time.Time) (map[string]int64, map[string]time.Duration) {
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

func TestBacklog(t *testing.T) {
	t.Parallel()
	b := newBacklogBench(t, servicetest.RunNATS(t))
	if messages, oldest := b.seen(time.Now()); len(messages)+len(oldest) > 0 {
		t.Errorf("before the first reading: %v, %v", messages, oldest)
	}
	b.read(t.Context())
	empty := map[string]int64{
		"gemini.requests waiting": 0, "gemini.requests in_flight": 0, "gemini.retries waiting": 0,
		"gemini.retries in_flight": 0, "gemini.retries scheduled": 0, "gemini.deadletters dead": 0,
	}
	if messages, oldest := b.seen(time.Now()); !maps.Equal(messages, empty) || !maps.Equal(oldest, map[string]time.Duration{"gemini.requests": 0, "gemini.retries": 0}) {
		t.Errorf("of empty queues: %v, %v", messages, oldest)
	}
	for range 4 {
		b.put(&nats.Msg{Subject: b.bench.Names.RequestQueue})
	}
	b.put(&nats.Msg{Subject: b.bench.Names.Retries()})
	for _, id := range []string{"a", "b"} {
		b.put(&nats.Msg{Subject: b.bench.Names.Later("gemini.responses", id)},
			jetstream.WithScheduleAt(time.Now().Add(time.Hour)), jetstream.WithScheduleTarget(b.bench.Names.Retries()))
	}
	b.put(&nats.Msg{Subject: b.bench.Names.Deadletter(events.Internal, "a")})
	b.deliver("GEMINI_REQUESTS", 1)
	b.counted("GEMINI_REQUESTS", 3)
	b.counted("GEMINI_RETRIES", 1)
	b.read(t.Context())
	want := map[string]int64{
		"gemini.requests waiting": 3, "gemini.requests in_flight": 1, "gemini.retries waiting": 1,
		"gemini.retries in_flight": 0, "gemini.retries scheduled": 2, "gemini.deadletters dead": 1,
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
	if b.bench.log.String() != "" {
		t.Errorf("the log says: %s", b.bench.log)
	}
}

// Numbers that are old are not reported, and NATS that is away delays nobody.
func TestOldBacklogVanish(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t)
	b := newBacklogBench(t, n)
	b.read(t.Context())
	last := time.Now()
	n.Stop()
	b.Until("the connection is lost", func() (string, bool) { return "", !b.conn.IsConnected() })
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
	b.Until("the connection is there again", func() (string, bool) { return "", b.conn.IsConnected() })
	b.Until("the numbers are read again", func() (string, bool) {
		b.read(t.Context())
		messages, _ := b.seen(time.Now())
		return "", len(messages) == 6
	})
}

// oldestAge is what is reported of a message that was stored so long ago.
func (b *backlogBench) oldestAge(ago time.Duration) time.Duration {
	now := time.Now()
	b.oldest["gemini.requests"] = oldestWaiting{at: now, since: now.Add(-ago)}
	_, oldest := b.seen(now)
	return oldest["gemini.requests"]
}

// The oldest message is looked up again only when another one may be it.
func TestQueueThatStandsStillCostsNothing(t *testing.T) {
	t.Parallel()
	b := newBacklogBench(t, servicetest.RunNATS(t))
	asked, err := b.NC.SubscribeSync("$JS.API.STREAM.MSG.GET.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		b.put(&nats.Msg{Subject: b.bench.Names.RequestQueue})
	}
	read := func(why string, questions int, oldest uint64, waiting uint64) {
		t.Helper()
		b.counted("GEMINI_REQUESTS", waiting)
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
		if err := b.NC.Flush(); err != nil {
			t.Fatal(err)
		}
		for n, _, _ := asked.Pending(); n > 0; n, _, _ = asked.Pending() { // those of stored
			if _, err := asked.NextMsg(servicetest.Patience); err != nil {
				t.Fatal(err)
			}
		}
	}
	read("the first time", 1, 1, 4)
	read("nothing has changed", 0, 1, 4)
	b.put(&nats.Msg{Subject: b.bench.Names.RequestQueue})
	read("one more", 0, 1, 5)
	b.deliver("GEMINI_REQUESTS", 2)
	read("two were delivered", 1, 3, 3)
	s, err := b.JS.Stream(b.Context(), "GEMINI_REQUESTS")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(b.Context(), 3); err != nil {
		t.Fatal(err)
	}
	read("the oldest was deleted", 1, 4, 2)
	b.deliver("GEMINI_REQUESTS", 2)
	read("nothing waits", 0, 0, 0)
}

// A question that is not answered holds up no scrape, and ends with the service.
func TestBacklogNeverBlock(t *testing.T) {
	t.Parallel()
	b := newBacklogBench(t, servicetest.RunNATS(t))
	b.read(t.Context())
	b.conn.api = config.NATS{APIPrefix: "silence"}.API
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
		b.backlog.run(ctx)
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
