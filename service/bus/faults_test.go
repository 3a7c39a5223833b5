package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
	"gemini-client/telemetry"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	code := func(n jetstream.ErrorCode) error { return &jetstream.APIError{ErrorCode: n} }
	for name, tt := range map[string]struct{ err, is error }{
		"max_payload of the client": {nats.ErrMaxPayload, ErrTooLarge},
		"max_msg_size":              {code(10054), ErrTooLarge},
		"another sequence":          {code(10071), errConflict},
		"not committed yet":         {code(10164), errUncommitted},
		"something else":            {code(10077), nil},
		"the connection":            {nats.ErrTimeout, nats.ErrTimeout},
	} {
		got := classify(tt.err)
		for _, kind := range []error{ErrTooLarge, errConflict, errUncommitted} {
			if errors.Is(got, kind) != errors.Is(tt.is, kind) {
				t.Errorf("%s: got %v, want %v", name, got, tt.is)
			}
		}
		if !errors.Is(got, tt.err) {
			t.Errorf("%s: the cause is lost: %v", name, got)
		}
	}
	for want, err := range map[string]error{
		"timeout": context.DeadlineExceeded, "no_responders": nats.ErrNoResponders, "disconnected": nats.ErrReconnectBufExceeded, "": errors.New("another"),
	} {
		if got := errorType(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
}

// What cannot work is refused at once, without the password; a server that is not
// there yet is waited for.
func TestConnect(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	for name, c := range map[string]config.NATS{
		"no URL":      {URL: "nats://me:hunter2@bad host", APIPrefix: "$JS.API", InboxPrefix: "_INBOX"},
		"API prefix":  {URL: "nats://127.0.0.1:1", APIPrefix: "", InboxPrefix: "_INBOX"},
		"certificate": {URL: "nats://127.0.0.1:1", APIPrefix: "$JS.API", InboxPrefix: "_INBOX", TLSCA: "/no/such/file"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Connect(ctx, c, log); !errors.Is(err, config.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	n := servicetest.RunNATS(t)
	n.Stop()
	b := &servicetest.Buffer{}
	connected := make(chan error, 1)
	go func() {
		conn, err := Connect(t.Context(), config.NATS{URL: n.URL, APIPrefix: "$JS.API", InboxPrefix: "_INBOX"}, slog.New(slog.NewTextHandler(b, nil)))
		if err == nil {
			conn.Close()
			<-conn.closed
		}
		connected <- err
	}()
	for !strings.Contains(b.String(), "NATS is not reachable yet") {
		select {
		case err := <-connected:
			t.Fatalf("connected to nobody: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	n.Start()
	if err := <-connected; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errTest)
	if _, err := Open(ctx, config.Config{NATS: config.NATS{URL: "nats://127.0.0.1:1", APIPrefix: "$JS.API", InboxPrefix: "_INBOX"}}, quiet(t)); !errors.Is(err, errTest) {
		t.Errorf("while it is stopped: got %v", err)
	}
}

// What JetStream will never accept ends the service; what it may accept later is
// waited for, with a way out in the log.
func TestTopologyThatIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.JS.CreateStream(b.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"gemini.requests"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(b.Context(), b.config, quiet(t)); !errors.Is(err, ErrTopology) || !strings.Contains(err.Error(), "GEMINI_REQUESTS") {
		t.Errorf("a stream of another name: got %v, want ErrTopology", err)
	}
	if err := NewTopology(b.config, b.NC.MaxPayload()).Provision(b.Context(), b.JS); err == nil || !strings.Contains(err.Error(), "GEMINI_REQUESTS") {
		t.Errorf("provision: got %v", err)
	}
	small := setupOn(t, servicetest.RunNATS(t, func(o *server.Options) { o.JetStreamMaxStore = 1 << 20 }))
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{Output: small.log})
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Shutdown(context.Background())
	ctx, cancel := context.WithCancelCause(t.Context())
	opened := make(chan error, 1)
	go func() {
		_, err := Open(ctx, small.config, tel)
		opened <- err
	}()
	small.Until("the log says what to do", func() (string, bool) {
		text := small.log.String()
		return text, strings.Contains(text, "JetStream sets REQUESTS_MAX_BYTES, RESULTS_MAX_BYTES and DEADLETTERS_MAX_BYTES aside")
	})
	cancel(errTest)
	if err := <-opened; !errors.Is(err, errTest) {
		t.Errorf("got %v", err)
	}
}

// Without NATS_PROVISION nothing is created, streams or consumers.
func TestNothingIsCreatedWithoutProvision(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.Provision = false })
	if _, err := Open(b.Context(), b.config, quiet(t)); !errors.Is(err, ErrTopology) || !strings.Contains(err.Error(), "is missing and NATS_PROVISION is false") {
		t.Errorf("no streams: got %v", err)
	}
	b.provision()
	if err := b.JS.DeleteConsumer(b.Context(), b.Names.RetriesStream(), Durable); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(b.Context(), b.config, quiet(t)); !errors.Is(err, ErrTopology) || !strings.Contains(err.Error(), "consumer gemini-client of GEMINI_RETRIES") {
		t.Errorf("no consumer: got %v", err)
	}
}

// A worker that was taken for dead is told when it settles, and people see it.
func TestLostClaimIsReported(t *testing.T) {
	t.Parallel()
	b := setup(t)
	frozen, other := b.open(), b.open()
	beats(t, other.heartbeat)
	id := servicetest.NewID()
	d := b.admitted(frozen, b.deliver(frozen, id, nil)) // it has no heartbeat
	ask := Ask{Delivery: &Delivery{Stream: d.Stream, Sequence: d.Sequence}, Callback: b.Names.ResponseQueue, ID: id}
	if a := state(t, other, ask, Admitted); a.Starts != 2 {
		t.Errorf("starts: got %d, want 2", a.Starts)
	}
	b.settle(frozen, d, End{})
	if log := b.log.String(); strings.Count(log, "another worker took over a request") != 1 {
		t.Errorf("log:\n%s", log)
	}
}

// Headers that make a dead letter too large are left behind, not the body.
func TestDeadLetterLeavesHeadersBehind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	d := b.take(bus, []byte("not JSON"), nil)
	d.Header = map[string][]string{"X": {strings.Repeat("x", int(b.NC.MaxPayload()))}}
	if s := b.settle(bus, d, End{DeadLetter: failing("").DeadLetter}); !s.DeadLettered {
		t.Errorf("got %+v", s)
	}
	if m := b.Stored(b.Names.DeadlettersStream())[0]; string(m.Body) != "not JSON" || m.Header.Get("X") != "" {
		t.Errorf("got %v %s", m.Header, m.Body)
	}
}

// A redelivery of a message that is in a slot goes on there; a message without a
// reply subject is none; what comes while the intake ends is nacked.
func TestDeliveriesThatNeedNoSlot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	in := bus.newIntake(Handlers{Deliver: func(context.Context, *Delivery) { t.Error("it was worked on") }})
	if in.begin(t.Context(), bus.queues[1], pulled{&nats.Msg{Subject: "x"}, b.NC}) {
		t.Error("a message without a reply subject took a slot")
	}
	one, two := pulled{&nats.Msg{Subject: "one"}, b.NC}, pulled{&nats.Msg{Subject: "two"}, b.NC}
	first := newSlot(in, bus.queues[1], one, messageKey{sequence: 1})
	if !in.occupy(first) || in.occupy(newSlot(in, bus.queues[1], two, messageKey{sequence: 1})) || first.message() != two {
		t.Errorf("the redelivery has a slot of its own, or its handle is lost: %v", first.message())
	}
	b.publish(1)
	ended, end := context.WithCancel(t.Context())
	end()
	if used := in.fetch(ended, t.Context(), bus.queues[1], 1); used != 0 {
		t.Errorf("slots used: %d", used)
	}
	b.Until("it waits again", func() (string, bool) {
		d, err := bus.conn.Depth(b.Context(), b.Names.RequestsStream())
		return fmt.Sprint(d, err), err == nil && d.InFlight == 1 // delivered once, and nacked
	})
}

// On a connection that is closed for good nothing blocks, and Run says so.
func TestClosedConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	bus.Close()
	<-bus.Closed()
	if err := bus.Run(t.Context(), t.Context(), Handlers{Status: func() any { return nil }}); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("Run: got %v", err)
	}
	if _, err := bus.cancels.follow(t.Context(), nil); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("follow: got %v", err)
	}
	d := Deltas{conn: bus.conn, log: slog.New(slog.DiscardHandler), subject: "x", id: servicetest.NewID()}
	d.Done()
	if _, err := bus.conn.Depth(t.Context(), "x"); err == nil {
		t.Error("depth: no error")
	}
	if _, err := bus.conn.OldestWaiting(t.Context(), "x", "x", Depth{Waiting: 1}); err == nil {
		t.Error("oldest: no error")
	}
	if at, err := bus.conn.OldestWaiting(t.Context(), "x", "x", Depth{}); !at.IsZero() || err != nil {
		t.Errorf("nothing waits: got %v, %v", at, err)
	}
}

// The status is told to whoever asks, and to nobody who does not want an answer.
func TestStatusIsAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	stop, err := bus.answerStatus(t.Context(), "", func() any { return func() {} }) // what JSON cannot encode
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := bus.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := b.NC.Publish(b.Names.Status(), nil); err != nil {
		t.Fatal(err)
	}
	b.Until("it is told", func() (string, bool) {
		text := b.log.String()
		return text, strings.Contains(text, "a question for the status was not answered")
	})
	if bus.Server() == "" || bus.MaxRequest() <= 0 || bus.Instance() == "" {
		t.Errorf("got %q, %d, %q", bus.Server(), bus.MaxRequest(), bus.Instance())
	}
}

// A permission violation ends the request that it is about, and no other.
func TestDeniedRequest(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "limited", Password: "x", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.CONSUMER.INFO.GEMINI_REQUESTS.>"}}}}, {Username: "admin", Password: "a"}}
		o.NoAuthUser = "admin"
	})
	b := setupOn(t, n, func(c *config.Config) { c.User, c.Password = "limited", "x" })
	b.provision()
	conn := b.connect()
	if _, err := conn.Depth(t.Context(), b.Names.RequestsStream()); !errors.Is(err, ErrDenied) {
		t.Errorf("denied: got %v", err)
	}
	if _, err := conn.Depth(t.Context(), b.Names.RetriesStream()); err != nil {
		t.Errorf("allowed: got %v", err)
	}
	if text := b.log.String(); text != "" {
		t.Errorf("the log says it as well: %s", text)
	}
}

func TestHolder(t *testing.T) {
	t.Parallel()
	want := Holder{Stream: "S", Sequence: 7, Instance: "i", Starts: 2}
	if got, ok := ParseHolder([]byte(want.String())); !ok || got != want {
		t.Errorf("got %+v, %v", got, ok)
	}
	for instance, ended := range map[string]bool{"i": false, "crashed": false, "crashed:i": false, "returned:i": true, "later:i": true, "settled:i": true} {
		h := Holder{Instance: instance}
		if h.Ended() != ended || h.isMark() != (instance != "i") {
			t.Errorf("%s: ended %v, a mark %v", instance, h.Ended(), h.isMark())
		}
	}
	for _, text := range []string{"", "S 7 i", "a b c d e"} {
		if got, ok := ParseHolder([]byte(text)); ok {
			t.Errorf("%q: got %+v", text, got)
		}
	}
}
