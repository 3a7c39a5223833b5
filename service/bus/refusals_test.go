package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
)

// Each refusal of a publish is sorted: for good, or for now.
func TestRefusalsAreSorted(t *testing.T) {
	t.Parallel()
	all := []error{ErrTooLarge, ErrRefused, errConflict, errUncommitted, errUnknown}
	for want, codes := range map[error][]jetstream.ErrorCode{
		ErrTooLarge:    {10054, 10097},
		ErrRefused:     {10003, 10060, 10165, 10189, 10190, 10212},
		errConflict:    {10071},
		errUncommitted: {10164},
		errUnknown:     {9999, 10001, 10300, 19999},
		nil:            {10002, 10008, 10023, 10039, 10047, 10059, 10076, 10077, 10109, 10118, 10163, 10166, 10167, 10188},
	} {
		for _, code := range codes {
			got := classify(fmt.Errorf("nats: %w", &jetstream.APIError{ErrorCode: code}))
			for _, kind := range all {
				if errors.Is(got, kind) != errors.Is(want, kind) {
					t.Errorf("%d: got %v, want %v", code, got, want)
				}
			}
		}
	}
	if got := classify(&jetstream.APIError{ErrorCode: 10077, Description: "message too large"}); !errors.Is(got, ErrTooLarge) {
		t.Errorf("over 32 MiB: got %v", got)
	}
	if got := classify(nats.ErrBadHeaderMsg); !errors.Is(got, ErrRefused) {
		t.Errorf("a header that the client does not send: got %v", got)
	}
	for code := jetstream.ErrorCode(10_000); code < 10_300; code++ {
		if never(code) && later(code) {
			t.Errorf("%d is sorted twice", code)
		}
	}
}

// refusing answers what is published to a subject with a refusal, and counts.
func (b *bench) refusing(subject string, code int) *atomic.Int64 {
	b.t.Helper()
	met := &atomic.Int64{}
	_, err := b.NC.Subscribe(subject, func(m *nats.Msg) {
		met.Add(1)
		_ = m.Respond(fmt.Appendf(nil, `{"error":{"code":400,"err_code":%d,"description":"no"},"stream":"S","seq":0}`, code))
	})
	if err == nil {
		err = b.NC.Flush()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return met
}

// A refusal that nobody knows is tried some times and then counts as one for good;
// one that passes is tried for as long as it takes.
func TestUnknownRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.streams()
	unknown, full := b.refusing("unknown", 19_999), b.refusing("full", 10_077)
	ctx, cancel := context.WithCancelCause(b.Context())
	go func() {
		b.Until("more than the tries of an unknown refusal", func() (string, bool) {
			n := full.Load()
			return fmt.Sprint(n), n > unknownTries
		})
		cancel(errTest)
	}()
	if _, err := s.put(ctx, func() *nats.Msg { return &nats.Msg{Subject: "full"} }); !errors.Is(err, errTest) || Refused(err) {
		t.Errorf("full: got %v, want the context's cause", err)
	}
	if _, err := s.put(b.Context(), func() *nats.Msg { return &nats.Msg{Subject: "unknown"} }); !errors.Is(err, ErrRefused) || !Refused(err) {
		t.Errorf("unknown: got %v, want ErrRefused", err)
	}
	if n := unknown.Load(); n != unknownTries {
		t.Errorf("tries: %d, want %d", n, unknownTries)
	}
}

// A copy loses the largest headers, and those that cannot be sent; what the service
// needs is kept, and a note tells the rest.
func TestFitting(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 3000)
	h := events.Header{"A": {large}, "B": {"b", "c"}, "Empty": {}, "not a name": {"x"}, "gemini-retry-count": {"1"}, "traceparent": {"00-…"}, "Gemini-Replay": {large}}
	for room, want := range map[int][]string{
		jsHeadersMax: {"A", "B", "Empty", "gemini-retry-count", "traceparent", "Gemini-Replay"},
		5000:         {"A", "B", "Empty", "gemini-retry-count", "traceparent"},
		2000:         {"B", "Empty", "gemini-retry-count", "traceparent"},
		0:            {"gemini-retry-count", "traceparent"},
		-5000:        {"gemini-retry-count", "traceparent"},
	} {
		got := fitting(h, room)
		if len(got) != len(want)+1 || len(got[events.HeaderDropped]) != 1 {
			t.Errorf("room %d: got %.500v, want %v and a note", room, got, want)
		}
		for _, name := range want {
			if fmt.Sprint(got[name]) != fmt.Sprint(h[name]) {
				t.Errorf("room %d: %s is %v", room, name, got[name])
			}
		}
		if size := (&nats.Msg{Header: got}).Size(); size == 0 || room > 1000 && size > room {
			t.Errorf("room %d: %d bytes", room, size)
		}
	}
	if got := fitting(events.Header{"A": {"a"}}, 100); len(got) != 1 {
		t.Errorf("what fits: got %v", got)
	}
	if got := fitting(nil, 100); len(got) != 0 || got == nil {
		t.Errorf("nothing: got %v", got)
	}
	many := events.Header{events.HeaderDropped: {"1: earlier"}}
	for i := range 9000 {
		many[fmt.Sprintf("name-%d", i)] = []string{"x"}
	}
	got := fitting(many, 20_000)
	if notes := got[events.HeaderDropped]; len(notes) != 2 || len(notes[1]) > noteMax || !strings.Contains(notes[1], fmt.Sprintf("%d: ", 9000-(len(got)-1))) || !strings.HasSuffix(notes[1], " more") {
		t.Errorf("many: %d kept, note %q", len(got), notes)
	}
}

// A sentence in a header has one line and an end.
func TestOneLine(t *testing.T) {
	t.Parallel()
	if got := oneLine(strings.Repeat("ä\n", 5000)); len(got) > sentenceMax+3 || strings.Contains(got, "\n") || !strings.HasSuffix(got, "…") {
		t.Errorf("got %d bytes: %.40q", len(got), got)
	}
}

// A wait ends while the records are kept, as the server keeps them.
func TestLongestWait(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	change(b, b.Names.CancelsStream(), func(c *jetstream.StreamConfig) { c.MaxAge = 100 * time.Hour })
	if got := b.open().LongestWait(); got != 50*time.Hour {
		t.Errorf("got %s, want half of the shorter age", got)
	}
	for _, tt := range [][3]time.Duration{{0, 0, 0}, {0, 2, 2}, {2, 0, 2}, {1, 2, 1}, {2, 1, 1}} {
		if got := shorter(tt[0], tt[1]); got != tt[2] {
			t.Errorf("%v: got %d", tt, got)
		}
	}
}

// Only the schedule that was found is removed, and what is due in its place is no
// prompt.
func TestRemoveSchedule(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.Concurrency = 1 })
	bus := b.open()
	const id = "0A000000-0000-4000-8000-000000000001"
	ask := b.deliver(bus, id, nil)
	d := b.admitted(bus, ask)
	later := End{Schedule: &Schedule{At: time.Now().Add(time.Hour)}}
	b.settle(bus, d, later)
	found, err := bus.Waiting(b.Context(), b.Names.ResponseQueue, id)
	if err != nil || found == nil {
		t.Fatalf("waiting: %v, %v", found, err)
	}
	b.settle(bus, found, End{Nack: true})
	if again, err := bus.Waiting(b.Context(), b.Names.ResponseQueue, id); err != nil || again.Sequence != found.Sequence {
		t.Fatalf("after a nack: %v, %v", again, err)
	}
	older := *found
	older.Sequence--
	older.asked = ask
	bus.schedules.remove(b.Context(), &older)
	if again, err := bus.Waiting(b.Context(), b.Names.ResponseQueue, id); err != nil || again.Sequence != found.Sequence {
		t.Fatalf("another schedule was removed: %v, %v", again, err)
	}
	found = b.admitted(bus, Ask{Delivery: found, Callback: b.Names.ResponseQueue, ID: id})
	b.settle(bus, found, completed(id))
	b.Until("what is due in its place", func() (string, bool) {
		m, err := bus.claims.streams.retries.GetLastMsgForSubject(b.Context(), b.Names.Retries())
		if err != nil {
			return err.Error(), false
		}
		return string(m.Data), string(m.Data) == `{"callback_queue":"gemini.responses","request_id":"`+id+`"}`
	})
}
