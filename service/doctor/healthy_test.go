package doctor_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/service/bus"
	"gemini-client/service/doctor"
	"gemini-client/service/servicetest"
)

// Each role of deploy/nats/nats.conf has all its rights, and everything else is right.
func TestHealthyStack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, role := range []bus.Role{bus.RoleWorker, bus.RoleAdmin, bus.RoleBackend} {
		b.as(role)
		r := b.look()
		allRight(t, r)
		want(t, r, "rights", doctor.OK, "all ", "of the role "+string(role))
		want(t, r, "login", doctor.OK, "as "+string(role))
		want(t, r, "server", doctor.OK, "gemini", "2.", "not encrypted", "round trip")
		want(t, r, "key …cdef", doctor.OK, "usable")
		want(t, r, "model", doctor.OK, "google/gemini-2.5-flash is offered")
		if role == bus.RoleBackend {
			want(t, r, "streams", doctor.Skip)
			continue
		}
		want(t, r, "consumers", doctor.OK, "3 as configured")
		want(t, r, "clock", doctor.OK, "within")
	}
}

// With a budget and limits their streams are looked at and their rights tried.
func TestHealthyStackWithBudgetAndLimits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.o.Config.FleetBudget, b.o.Config.KeysMaxPerMinute = "5/day", 600
	allRight(t, b.look())
}

// A look changes nothing: no stream, no consumer, no subscriber and no call notices.
func TestALookChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.as(bus.RoleBackend)
	heard := make(chan *nats.Msg, 100)
	var listeners []*nats.Conn
	for user, subjects := range map[string][]string{"backend": {"gemini.responses.>", "gemini.deltas.*"}, "worker": {"gemini.cancels.*", "$KV.GEMINI_TENANTS.*", "gemini.status"}} {
		nc := b.nats.Connect(servicetest.User(user)...)
		for _, subject := range subjects {
			if _, err := nc.ChanSubscribe(subject, heard); err != nil {
				t.Fatal(err)
			}
		}
		listeners = append(listeners, nc)
	}
	flush := func() {
		t.Helper()
		for _, nc := range listeners {
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	flush()
	waiting := b.nats.Connect(servicetest.User("backend")...)
	if _, err := waiting.Request("gemini.requests", servicetest.Body(servicetest.NewID(), "hello", nil), servicetest.Patience); err != nil {
		t.Fatal(err)
	}
	before := b.state()
	for _, role := range []bus.Role{bus.RoleWorker, bus.RoleAdmin, bus.RoleBackend} {
		b.as(role)
		allRight(t, b.look())
	}
	if after := b.state(); !maps.Equal(before, after) {
		t.Errorf("before: %v\nafter: %v", before, after)
	}
	if n := b.or.Count(); n != 0 {
		t.Errorf("OpenRouter was called %d times", n)
	}
	flush() // what was sent to them before has come
	select {
	case m := <-heard:
		t.Errorf("somebody heard a message on %s: %q", m.Subject, m.Data)
	default:
	}
}

// state is that of every stream and consumer.
func (b *bench) state() map[string]string {
	b.t.Helper()
	all := map[string]string{}
	note := func(name string, state any) {
		text, err := json.Marshal(state)
		if err != nil {
			b.t.Fatal(err)
		}
		all[name] = string(text)
	}
	streams := b.js.ListStreams(b.t.Context())
	for s := range streams.Info() {
		s.State.Consumers = 0
		note(s.Config.Name, []any{s.Config, s.State})
		stream, err := b.js.Stream(b.t.Context(), s.Config.Name)
		if err != nil {
			b.t.Fatal(err)
		}
		consumers := stream.ListConsumers(b.t.Context())
		for c := range consumers.Info() {
			note(c.Stream+" "+c.Name, []any{c.Config, c.Delivered.Consumer, c.Delivered.Stream, c.AckFloor.Stream, c.NumPending, c.NumAckPending, c.NumWaiting, c.NumRedelivered})
		}
	}
	if len(all) < 10 {
		b.t.Fatalf("streams and consumers: %v", all)
	}
	return all
}

// A clock beside the server's is measured within the time of an answer.
func TestClock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, tt := range map[string]struct {
		shift  time.Duration
		status doctor.Status
		where  string
	}{
		"a minute ahead":  {time.Minute, doctor.Fail, "ahead of"},
		"a minute behind": {-time.Minute, doctor.Fail, "behind"},
		"10 seconds":      {-10 * time.Second, doctor.Warn, "behind"},
	} {
		b.o.Now = func() time.Time { return time.Now().Add(tt.shift) }
		t.Log(name)
		r := b.look()
		want(t, r, "clock", tt.status, tt.where+" the server", "NTP")
		said := regexp.MustCompile(`this machine is (\S+) (?:ahead of|behind) the server, give or take (\S+)`).FindStringSubmatch(page(r))
		if said == nil {
			t.Fatalf("no difference:\n%s", page(r))
		}
		by, err := time.ParseDuration(said[1])
		within, err2 := time.ParseDuration(said[2])
		const rounding = 2 * time.Second // of a text for people
		if off := (by - tt.shift.Abs()).Abs(); err != nil || err2 != nil || off > within+rounding {
			t.Errorf("%s: off by %s", said[0], off)
		}
	}
}
