package inprocess_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/events/client"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// stack is a service that runs as the worker of deploy/nats/nats.conf, with a
// backend beside it. The bench's own connection is the admin's.
type stack struct {
	*bench
	backend *servicetest.Backend
}

func runStack(t *testing.T, changes ...func(*config.Config)) *stack {
	t.Helper()
	return runStackOn(t, servicetest.RunStackNATS(t), changes...)
}

func runStackOn(t *testing.T, n *servicetest.NATS, changes ...func(*config.Config)) *stack {
	t.Helper()
	asWorker := func(c *config.Config) {
		c.User, c.Password, c.InboxPrefix = "worker", "worker", "_INBOX_worker"
		c.APIPrefix, c.Provision = "gemini.js", false
	}
	b := setupOn(t, n, servicetest.RunOpenRouter(t, simulator.Config{}), append(changes, asWorker)...)
	b.provision()
	reader := jetstream.ConsumerConfig{Durable: "backend", FilterSubject: b.Names.ResponseQueue + ".*.*", AckPolicy: jetstream.AckExplicitPolicy}
	if _, err := b.JS.CreateConsumer(t.Context(), b.Names.ResponsesStream(), reader); err != nil {
		t.Fatal(err)
	}
	return &stack{bench: b, backend: asUser(t, n, "backend")}
}

// asUser returns a connection of a user of nats.conf.
func asUser(tb testing.TB, n *servicetest.NATS, user string, options ...nats.Option) *servicetest.Backend {
	tb.Helper()
	nc := n.Connect(append(servicetest.User(user), options...)...)
	js, err := jetstream.NewWithAPIPrefix(nc, "gemini.js", jetstream.WithDefaultTimeout(2*time.Second))
	if err != nil {
		tb.Fatal(err)
	}
	return &servicetest.Backend{T: tb, NC: nc, JS: js, Names: servicetest.Names()}
}

// Everything that a backend, a worker and an admin do works with the least
// rights of deploy/nats/nats.conf, and NATS refuses none of it; also with the
// second form of acknowledgements, which servers are going to use.
func TestLeastPrivilegeSuffices(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]bool{"acks of form 1": false, "acks of form 2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leastPrivilegeSuffices(t, servicetest.RunStackNATS(t, func(o *server.Options) {
				o.FeatureFlags = map[string]bool{server.FeatureFlagJsAckFormatV2: second}
			}))
		})
	}
}

func leastPrivilegeSuffices(t *testing.T, n *servicetest.NATS) {
	t.Helper()
	s := runStackOn(t, n, func(c *config.Config) { c.RetryDelays, c.MaxRetries, c.BatchMaxWait = []int{1, 3600}, 2, time.Second })
	s.start()
	s.start() // a second replica: claims are asked for
	live, err := s.backend.NC.SubscribeSync("gemini.responses.>")
	if err != nil {
		t.Fatal(err)
	}
	deltas, err := s.backend.NC.SubscribeSync("gemini.deltas.*")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.backend.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	streamed := s.backend.Ask("hello", map[string]any{"stream": true})
	wantSubject(t, s.Result(streamed), events.Completed("gemini.responses", streamed))
	if m, err := live.NextMsg(servicetest.Patience); err != nil || m.Subject != events.Completed("gemini.responses", streamed) {
		t.Errorf("live result: %v, %v", m, err)
	}
	if m, err := deltas.NextMsg(servicetest.Patience); err != nil || m.Subject != s.Names.Deltas(streamed) {
		t.Errorf("delta: %v, %v", m, err)
	}
	later := s.backend.Ask("[sim:503 times=3] and then well", nil) // one delivery's attempts
	wantSubject(t, s.Result(later), events.Completed("gemini.responses", later))
	dead := s.backend.Ask("[sim:503]", map[string]any{"retry_count": 2})
	wantSubject(t, s.Result(dead), events.Failed("gemini.responses", dead))
	if n := s.State(s.Names.DeadlettersStream()).Msgs; n != 1 {
		t.Errorf("dead letters: got %d, want 1", n)
	}
	batched := s.backend.Ask("no hurry", map[string]any{"tier": "batch"})
	wantSubject(t, s.Result(batched), events.Completed("gemini.responses", batched))
	if n := len(s.openrouter.Batches()); n != 1 {
		t.Errorf("batches: got %d, want 1", n)
	}
	s.readDurably(4)
	s.large()
	s.cancelWaiting()
	s.replay(dead)
	s.askStatus(2)
	s.Idle()
	for _, word := range []string{"NATS refuses", "NATS reports an error", "a metric is missing", "queue cannot be read", "does not answer"} {
		if strings.Contains(s.log.String(), word) {
			t.Errorf("the log says %q", word)
		}
	}
}

func wantSubject(tb testing.TB, got servicetest.Stored, want string) {
	tb.Helper()
	if got.Subject != want {
		tb.Errorf("result: got %s, want %s: %s", got.Subject, want, got.Body)
	}
}

// readDurably takes results with the consumer that the admin made.
func (s *stack) readDurably(n int) {
	s.t.Helper()
	reader, err := s.backend.JS.Consumer(s.Context(), s.Names.ResponsesStream(), "backend")
	if err != nil {
		s.t.Fatalf("the backend's reader: %v", err)
	}
	batch, err := reader.Fetch(n, jetstream.FetchMaxWait(servicetest.Patience))
	if err != nil {
		s.t.Fatal(err)
	}
	for m := range batch.Messages() {
		if err := m.DoubleAck(s.Context()); err != nil {
			s.t.Errorf("acknowledge a result: %v", err)
		}
		n--
	}
	if n != 0 || batch.Error() != nil {
		s.t.Errorf("results missing from the reader: %d, %v", n, batch.Error())
	}
	s.Until("the results are acknowledged", func() (string, bool) {
		c, err := s.JS.Consumer(s.Context(), s.Names.ResponsesStream(), "backend")
		return "", err == nil && c.CachedInfo().NumAckPending == 0
	})
}

// large submits a prompt and reads an answer that no message can hold.
func (s *stack) large() {
	s.t.Helper()
	c, err := client.New(s.backend.NC, client.WithAPIPrefix("gemini.js"))
	if err != nil {
		s.t.Fatal(err)
	}
	size := int(s.NC.MaxPayload()) + 1
	h, err := c.Submit(s.Context(), events.Request{Prompt: fmt.Sprintf("[sim:huge bytes=%d]", size) + strings.Repeat("p", size)})
	if err != nil {
		s.t.Fatal(err)
	}
	if r, err := h.Result(s.Context()); err != nil || r.Content == nil || len(*r.Content) != size {
		s.t.Fatalf("got %v", err)
	}
	s.Until("its prompt is deleted, and its result is kept", func() (string, bool) {
		messages := s.State(s.Names.BodiesStream())
		return fmt.Sprint(messages.Bytes), messages.Bytes > uint64(size) && messages.Bytes < uint64(size)*5/4
	})
}

// cancelWaiting cancels, as a backend, a request that waits to be tried again.
func (s *stack) cancelWaiting() {
	s.t.Helper()
	id := s.backend.Ask("[sim:503]", map[string]any{"retry_count": 1})
	s.Until("it waits", func() (string, bool) {
		return "", s.State(s.Names.RetriesStream()).Msgs == 1
	})
	if err := s.backend.NC.Publish(s.Names.Cancel(id), nil); err != nil {
		s.t.Fatal(err)
	}
	wantSubject(s.t, s.Result(id), events.Failed("gemini.responses", id))
	s.Idle() // the worker has removed the schedule
	if err := s.mustStream(s.Names.RetriesStream()).Purge(s.Context(), jetstream.WithPurgeSubject(s.Names.LaterAll())); err != nil {
		s.t.Errorf("the admin purges: %v", err)
	}
}

// replay sends a dead letter back as an admin does.
func (s *stack) replay(id string) {
	s.t.Helper()
	failed := s.Result(id)
	last, err := s.mustStream(s.Names.ResponsesStream()).GetLastMsgForSubject(s.Context(), failed.Subject)
	if err != nil {
		s.t.Fatal(err)
	}
	m := nats.NewMsg(s.Names.Retries())
	m.Data = servicetest.Body(id, "now it works", nil)
	m.Header[events.HeaderReplay] = []string{strconv.FormatUint(last.Sequence, 10)}
	if _, err := s.JS.PublishMsg(s.Context(), m); err != nil {
		s.t.Fatalf("replay: %v", err)
	}
	s.Collect(s.Names.ResponsesStream(), events.Completed("gemini.responses", id), 1)
}

// askStatus asks the workers for their state, as `gemini-client status` does, and looks
// for them as `nats micro` does.
func (s *stack) askStatus(workers int) {
	s.t.Helper()
	for _, subject := range []string{s.Names.Status(), "$SRV.PING", "$SRV.INFO.gemini-client", "$SRV.STATS.gemini-client"} {
		s.askAll(subject, workers)
	}
}

// askAll wants an answer of each worker.
func (s *stack) askAll(subject string, workers int) {
	s.t.Helper()
	answers, err := s.NC.SubscribeSync(s.NC.NewInbox())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.NC.PublishRequest(subject, answers.Subject, nil); err != nil {
		s.t.Fatal(err)
	}
	for range workers {
		if _, err := answers.NextMsg(servicetest.Patience); err != nil {
			s.t.Fatalf("a worker's answer on %s: %v", subject, err)
		}
	}
}

// A worker may ask the leader of every stream that it decides by, as it does where
// streams have several copies.
func TestWorkerMayAskLeaders(t *testing.T) {
	t.Parallel()
	s := runStack(t)
	worker := asUser(t, s.nats, "worker")
	for _, stream := range []string{s.Names.ResponsesStream(), s.Names.ClaimsStream(), s.Names.RetriesStream(), s.Names.CancelsStream()} {
		answer, err := worker.NC.RequestWithContext(s.Context(), "gemini.js.STREAM.MSG.GET."+stream, []byte(`{"last_by_subj":"gemini.nobody"}`))
		if err != nil || !strings.Contains(string(answer.Data), "no message found") {
			t.Errorf("%s: got %v, %v", stream, answer, err)
		}
	}
}
