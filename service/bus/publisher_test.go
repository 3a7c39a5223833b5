package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// claimOf is a message of the claims' stream.
func (b *bench) claimOf(id string, conditions ...condition) *nats.Msg {
	m := &nats.Msg{Subject: b.Names.Claim(b.Names.ResponseQueue, id), Header: nats.Header{}, Data: []byte(id)}
	for _, holds := range conditions {
		holds(m.Header)
	}
	return m
}

func (p *publisher) publish(m *nats.Msg, done func(sequence uint64, err error)) {
	p.post(posted{m: m, done: done})
}

// Each publish is told its own sequence, however many are under way.
func TestStoredMessagesAreToldApart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.streams()
	const n = 500
	var all sync.WaitGroup
	ids, got := make([]string, n), make([]uint64, n)
	for i := range n {
		ids[i] = servicetest.NewID()
		all.Add(1)
		s.publisher.publish(b.claimOf(ids[i], expectLast(0), withTTL(time.Hour)), func(sequence uint64, err error) {
			defer all.Done()
			if got[i] = sequence; err != nil {
				t.Errorf("publish: %v", err)
			}
		})
	}
	all.Wait()
	for i, m := range b.Stored(b.Names.ClaimsStream()) {
		if sequence := uint64(i + 1); string(m.Body) != ids[i] || got[i] != sequence {
			t.Fatalf("message %d is %s, and the publish of %s was told %d", sequence, m.Body, ids[i], got[i])
		}
	}
}

// A publish that is not stored says why.
func TestPublishesThatAreNotStored(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "limited", Password: "x", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"denied.>"}}}},
			{Username: "admin", Password: "a"},
		}
		o.NoAuthUser = "admin"
		o.MaxPayload = 64 << 10
	})
	b := setupOn(t, n, func(c *config.Config) { c.User, c.Password = "limited", "x" })
	s := b.streams()
	id := servicetest.NewID()
	if _, err := s.publisher.store(b.Context(), b.claimOf(id, expectLast(0))); err != nil {
		t.Fatal(err)
	}
	large := &nats.Msg{Subject: b.Names.Deadletter("internal", id), Data: make([]byte, 65<<10)}
	badHeader := b.claimOf(id, header("no spaces", "x"))
	for name, c := range map[string]struct {
		message *nats.Msg
		want    error
	}{
		"another was first":     {b.claimOf(id, expectLast(0)), errConflict},
		"over max_payload":      {large, ErrTooLarge},
		"a header of no client": {badHeader, ErrRefused},
		"a TTL of no server":    {b.claimOf(id, header(jetstream.MsgTTLHeader, "soon")), ErrRefused},
		"no stream":             {&nats.Msg{Subject: "nobody.listens"}, nats.ErrNoResponders},
		"no permission":         {&nats.Msg{Subject: "denied.subject"}, ErrDenied},
	} {
		if sequence, err := s.publisher.store(b.Context(), c.message); !errors.Is(err, c.want) || sequence != 0 {
			t.Errorf("%s: got %d, %v; want %v", name, sequence, err, c.want)
		}
	}
	b.Until("the log names the permission", func() (string, bool) {
		return b.log.String(), strings.Contains(b.log.String(), "grant this user the permission")
	})
}

// unanswered has nobody answer what is published to a subject, and tells of each message.
func (b *bench) unanswered(subject string) <-chan *nats.Msg {
	b.t.Helper()
	heard := make(chan *nats.Msg, 10)
	_, err := b.NC.Subscribe(subject, func(m *nats.Msg) { heard <- m })
	if err == nil {
		err = b.NC.Flush()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return heard
}

// What the server never answers ends: by its time, when the connection is lost or
// closed, with the context.
func TestUnansweredPublishesEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(b *bench, conn *Conn)
		want error
	}{
		"by time":               {func(_ *bench, conn *Conn) { conn.mux.tick(); conn.mux.tick(); conn.mux.tick() }, ErrNoAnswer},
		"connection lost":       {func(b *bench, _ *Conn) { b.nats.Stop() }, nats.ErrDisconnected},
		"connection closed":     {func(_ *bench, conn *Conn) { conn.Close() }, nats.ErrDisconnected},
		"published when closed": {func(*bench, *Conn) {}, nats.ErrConnectionClosed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			heard := b.unanswered("silence")
			conn := b.connect()
			p, err := newPublisher(conn)
			if err != nil {
				t.Fatal(err)
			}
			if name == "published when closed" {
				conn.Close()
				<-conn.closed
			}
			done := make(chan error, 1)
			p.publish(&nats.Msg{Subject: "silence"}, func(_ uint64, err error) { done <- err })
			if name != "published when closed" {
				<-heard
			}
			for range 2 { // more than enough ticks
				c.end(b, conn)
			}
			if err := <-done; !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			conn.mux.mu.Lock()
			defer conn.mux.mu.Unlock()
			if n := len(conn.mux.waiting); n > 0 {
				t.Errorf("%d still wait", n)
			}
		})
	}
}

// The clock runs while somebody waits, and by itself.
func TestTheClockEndsWhatIsNotAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.unanswered("silence")
	conn := b.connect()
	p, err := newPublisher(conn)
	if err != nil {
		t.Fatal(err)
	}
	conn.mux.within = ticksToWait * time.Millisecond
	for range 2 { // it stops, and starts again
		if _, err := p.store(t.Context(), &nats.Msg{Subject: "silence"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		b.Until("the clock stands", func() (string, bool) {
			conn.mux.mu.Lock()
			defer conn.mux.mu.Unlock()
			return "it runs", !conn.mux.running
		})
	}
}

// A publish that is waited for ends with its context, and its late answer is nobody's.
func TestStoreEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	heard := b.unanswered("silence")
	p, err := newPublisher(b.connect())
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("enough")
	ctx, end := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := p.store(ctx, &nats.Msg{Subject: "silence"})
		done <- err
	}()
	m := <-heard
	end(cause)
	if err := <-done; !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if _, err := p.store(ctx, &nats.Msg{Subject: "silence"}); !errors.Is(err, cause) {
		t.Errorf("afterwards: got %v", err)
	}
	for _, reply := range []string{m.Reply, m.Reply, m.Reply + "zz", p.mux.inbox + "-", p.mux.inbox + "1"} { // what nobody asked for
		if err := b.NC.Publish(reply, []byte(`{"stream":"S","seq":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	go func() { _ = b.NC.Flush(); m := <-heard; _ = m.Respond([]byte(`{"stream":"S","seq":7}`)) }()
	if sequence, err := p.store(t.Context(), &nats.Msg{Subject: "silence"}); sequence != 7 || err != nil {
		t.Errorf("the next one: got %d, %v", sequence, err)
	}
}

// FuzzReadAck holds the scanner of acknowledgements against encoding/json.
func FuzzReadAck(f *testing.F) {
	for _, text := range []string{
		`{"stream":"GEMINI_CLAIMS","seq":42}`, `{"stream":"S","domain":"hub","seq":7}`, `{"stream":"S","seq":7,"duplicate": true}`,
		`{"stream":"S","seq":3,"batch":"x","count":3}`, `{"stream":"S","seq":18446744073709551615}`, `{"stream":"S","seq":9999999999999999999}`,
		`{"stream":"S","seq":07}`, `{"stream":"","seq":7}`, `{"stream":"\u0053","seq":7}`, `{"stream":"S","seq":7.0}`, `{"seq":7,"stream":"S"}`,
		`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"S","seq":0}`, `{"stream":"S","seq":-1}`, ``, `null`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := scanAck(data)
		if !ok {
			return
		}
		if want, err := decodeAck(data); err != nil || got != want {
			t.Errorf("%q: got %+v, want %+v, %v", data, got, want, err)
		}
	})
}

// The ordinary acknowledgements do not need encoding/json.
func TestOrdinaryAcksAreScanned(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ack{
		`{"stream":"GEMINI_CLAIMS","seq":42}`:          {sequence: 42},
		`{"stream":"S","domain":"hub","seq":7}`:        {sequence: 7},
		`{"stream":"S","seq":7,"duplicate": true}`:     {sequence: 7},
		`{"stream":"S","seq":1000000000000000000}`:     {sequence: 1_000_000_000_000_000_000},
		`{"stream":"S","seq":3,"batch":"x","count":3}`: {sequence: 3, count: 3},
	} {
		if got, ok := scanAck([]byte(text)); !ok || got != want {
			t.Errorf("%s: got %+v, %v", text, got, ok)
		}
	}
	for text, want := range map[string]error{`{"stream":"S"`: jetstream.ErrInvalidJSAck, `{}`: jetstream.ErrInvalidJSAck, ``: jetstream.ErrInvalidJSAck} {
		if _, err := readAck([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%s: got %v", text, err)
		}
	}
	api := &jetstream.APIError{}
	_, err := readAck(fmt.Appendf(nil, `{"error":{"code":400,"err_code":%d},"stream":"S","seq":0}`, jsErrWrongLastSequence))
	if !errors.As(err, &api) || api.ErrorCode != jsErrWrongLastSequence {
		t.Errorf("a refusal: got %v", err)
	}
}
