package bus

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/servicetest"
)

// stands returns what stands on the subject of a claim: nil if nothing does.
func stands(t *testing.T, c *claims, subject string) *jetstream.RawStreamMsg {
	t.Helper()
	m, err := c.streams.last(t.Context(), c.streams.claims, subject)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// lasts returns for how long what stands on the subject of a claim was stored.
func lasts(t *testing.T, c *claims, subject string) time.Duration {
	t.Helper()
	life, err := time.ParseDuration(stands(t, c, subject).Header.Get(jetstream.MsgTTLHeader))
	if err != nil {
		t.Fatal(err)
	}
	return life
}

// expire removes what stands on the subject of a claim, as its TTL would.
func expire(t *testing.T, c *claims, subject string) {
	t.Helper()
	if err := c.streams.claims.Purge(t.Context(), jetstream.WithPurgeSubject(subject)); err != nil {
		t.Fatal(err)
	}
}

// The claim of a call that takes long is renewed before it ends, again and again; what
// was let go is not.
func TestClaimsAreRenewed(t *testing.T) {
	t.Parallel()
	s, _ := testStreams(t)
	one, _ := process(t, s, "one")
	two, _ := process(t, s, "two")
	held := mustTake(t, one, message(1), Admitted)
	if life := lasts(t, one, held.subject); life != claimTTL {
		t.Errorf("it lasts %s, want %s", life, claimTTL)
	}
	one.renewDue(t.Context(), time.Now())
	first := held.sequence
	if m := stands(t, one, held.subject); m.Sequence != first {
		t.Error("a new claim was renewed")
	}
	for range 2 {
		before := held.sequence
		one.renewDue(t.Context(), time.Now().Add(renewAfter))
		if m := stands(t, one, held.subject); m.Sequence <= before || m.Sequence != held.sequence || lasts(t, one, held.subject) != claimTTL {
			t.Errorf("it was not renewed: sequence %d, before %d", m.Sequence, before)
		}
		mustTake(t, two, message(1), Busy)
	}
	one.letGo(held)
	one.renewDue(t.Context(), time.Now().Add(renewAfter))
	if m := stands(t, one, held.subject); m.Sequence != held.sequence {
		t.Error("what was let go was renewed")
	}
}

// A claim that ended while NATS was away is stored again, and one in whose place
// another process's stands is lost.
func TestRenewalsAfterAnOutage(t *testing.T) {
	t.Parallel()
	s, _ := testStreams(t)
	one, lost := process(t, s, "one")
	held := mustTake(t, one, message(1), Admitted)
	expire(t, one, held.subject)
	one.renewDue(t.Context(), time.Now().Add(renewAfter))
	if kept, expired, err := one.keep(t.Context(), held); !kept || !expired || err != nil {
		t.Errorf("got %v, %v, %v; want it kept, although it had ended", kept, expired, err)
	}
	mustTake(t, dead(s, "two"), message(1), Busy)
	expire(t, one, held.subject)
	mustTake(t, dead(s, "two"), message(1), Admitted)
	for range 2 {
		one.renewDue(t.Context(), time.Now().Add(renewAfter))
	}
	if kept, _, err := one.keep(t.Context(), held); kept || err != nil {
		t.Errorf("got %v, %v; want it lost", kept, err)
	}
	if subject := <-lost; subject != held.subject || len(lost) > 0 {
		t.Errorf("lost %s, and %d more", subject, len(lost))
	}
}

// A process that is back from an absence of NATS in which claims may have ended takes
// nothing before those whose calls go on have stored theirs again.
func TestClaimsThatEndedInAnOutage(t *testing.T) {
	t.Parallel()
	s, _ := testStreams(t)
	one, _ := process(t, s, "one")
	back := dead(s, "back")
	back.heartbeat.stored(time.Now(), back.heartbeat.connection()+1)
	back.heartbeat.long, back.heartbeat.since = true, time.Now()
	held := mustTake(t, one, message(1), Admitted)
	expire(t, one, held.subject)
	taken := make(chan State)
	go func() {
		_, state, err := back.obtain(context.WithoutCancel(t.Context()), claimCallback, claimID, message(1))
		if err != nil {
			t.Error(err)
		}
		taken <- state
	}()
	one.renewDue(t.Context(), time.Now().Add(renewAfter))
	if state := <-taken; state != Busy {
		t.Errorf("got state %d, want it busy", state)
	}
	back.heartbeat.since = time.Time{}
	expire(t, one, held.subject)
	mustTake(t, back, message(1), Admitted)
	ended, end := context.WithCancelCause(t.Context())
	end(errTest)
	back.heartbeat.since = time.Now()
	expire(t, one, held.subject)
	if _, _, err := back.obtain(ended, claimCallback, claimID, message(1)); !errors.Is(err, errTest) {
		t.Errorf("got %v, want the context's cause", err)
	}
}

// What raises doubts about what has no claim.
func TestDoubts(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		gap        time.Duration // 0: the process has just started
		since      time.Duration
		deliveries uint64
		want       bool
	}{
		"after the start, a new message":              {0, 0, 1, false},
		"after the start, a message delivered before": {0, 0, 2, true},
		"long after the start":                        {0, rejoinTime, 2, false},
		"after a short gap":                           {claimsOutlast - time.Second, 0, 2, false},
		"after a long gap":                            {claimsOutlast + time.Second, 0, 1, true},
		"a while after a long gap":                    {claimsOutlast + time.Second, rejoinTime, 1, false},
	} {
		h := newHeartbeat(nil, "one", 3*time.Second)
		begun := time.Now()
		h.stored(begun.Add(-tt.gap), 0)
		if tt.gap > 0 {
			h.stored(begun, 0)
		}
		h.since = time.Now().Add(-tt.since)
		if got := h.doubts(&Delivery{Deliveries: tt.deliveries}); (got > 0) != tt.want || got > rejoinTime {
			t.Errorf("%s: got %s, want some: %v", name, got, tt.want)
		}
	}
}

// The starts of what may belong to a crash loop are remembered for a day: of what was
// delivered before, taken over, or came through the retries.
func TestStartsAreRemembered(t *testing.T) {
	t.Parallel()
	again := func(n uint64) *Delivery { d := message(n); d.Deliveries = 2; return d }
	for name, tt := range map[string]struct {
		d      *Delivery
		before func(s *streams)
		starts int
		life   time.Duration
	}{
		"for the first time":                    {message(1), nil, 1, claimTTL},
		"delivered before, without a trace":     {again(1), nil, 2, remembered},
		"through the retries":                   {fired(1), nil, 1, remembered},
		"of a dead process":                     {again(1), func(s *streams) { mustTake(t, dead(s, "a"), message(1), Admitted) }, 2, remembered},
		"of a dead process, a day of starts":    {again(1), func(s *streams) { mustTake(t, dead(s, "a"), again(1), Admitted) }, 3, remembered},
		"of a dead process, another message":    {message(2), func(s *streams) { mustTake(t, dead(s, "a"), message(1), Admitted) }, 1, remembered},
		"given back":                            {again(1), marked(t, markReturned), 1, remembered},
		"it panicked":                           {again(1), marked(t, markCrashed), 2, remembered},
		"released by a worker of an older time": {again(1), released(t), 1, remembered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := testStreams(t)
			if tt.before != nil {
				tt.before(s)
			}
			c := dead(s, "b")
			held := mustTake(t, c, tt.d, Admitted)
			if life := lasts(t, c, held.subject); held.holder.Starts != tt.starts || life != tt.life {
				t.Errorf("got start %d, remembered for %s; want %d, %s", held.holder.Starts, life, tt.starts, tt.life)
			}
		})
	}
}

// marked leaves a mark in the place of a claim of message 1.
func marked(t *testing.T, word string) func(*streams) {
	t.Helper()
	return func(s *streams) {
		c := dead(s, "a")
		c.leave(t.Context(), mustTake(t, c, message(1), Admitted), word, remembered)
	}
}

// released empties a claim of message 1.
func released(t *testing.T) func(*streams) {
	t.Helper()
	return func(s *streams) {
		held := mustTake(t, dead(s, "a"), message(1), Admitted)
		if _, err := s.conn.JetStream.Publish(t.Context(), held.subject, nil); err != nil {
			t.Error(err)
		}
	}
}

// What is known of a request that waits lasts longer than its schedule, whatever looks
// at it meanwhile; one whose result is stored leaves nothing for long.
func TestMarksOfSchedules(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	beats(t, bus.heartbeat)
	id := servicetest.NewID()
	subject := b.Names.Claim(b.Names.ResponseQueue, id)
	is := func(word string, least, most time.Duration) {
		t.Helper()
		holder, _ := ParseHolder(stands(t, bus.claims, subject).Data)
		if life := lasts(t, bus.claims, subject); holder.Instance != word+":"+bus.Instance() || life < least || life > most {
			t.Errorf("there is %s for %s, want a mark %s for %s to %s", holder, life, word, least, most)
		}
	}
	day, due := remembered-time.Minute, 3*24*time.Hour
	b.settle(bus, b.admitted(bus, b.deliver(bus, id, nil)), End{Schedule: &Schedule{At: time.Now().Add(due)}})
	is(markLater, due+day, due+day+time.Hour)
	waiting, err := bus.Waiting(b.Context(), b.Names.ResponseQueue, id)
	if err != nil || waiting == nil {
		t.Fatal(waiting, err)
	}
	state(t, bus, Ask{Delivery: waiting, Callback: b.Names.ResponseQueue, ID: id}, Admitted)
	b.settle(bus, waiting, End{Nack: true}) // it goes on waiting
	is(markLater, due+day, due+day+time.Hour)
	late := b.deliver(bus, id, nil)
	state(t, bus, late, Rescheduled)
	b.settle(bus, late.Delivery, End{})
	is(markLater, due+day, due+day+time.Hour)
	state(t, bus, Ask{Delivery: waiting, Callback: b.Names.ResponseQueue, ID: id}, Admitted)
	b.settle(bus, waiting, completed(id))
	is(markSettled, claimTTL, claimTTL)
}

// A schedule of a request that another worker has taken over would replace that one's.
func TestNoScheduleOfWhatWasTakenOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	frozen, other := b.open(), b.open()
	beats(t, other.heartbeat)
	id := servicetest.NewID()
	d := b.admitted(frozen, b.deliver(frozen, id, nil)) // it has no heartbeat
	ask := Ask{Delivery: &Delivery{Stream: d.Stream, Sequence: d.Sequence}, Callback: b.Names.ResponseQueue, ID: id}
	state(t, other, ask, Admitted)
	if _, err := frozen.Settle(t.Context(), d, End{Schedule: &Schedule{At: time.Now().Add(time.Hour)}}); !errors.Is(err, errTakenOver) {
		t.Errorf("got %v, want errTakenOver", err)
	}
	b.settle(frozen, d, End{Nack: true})
	if n := b.State(b.Names.RetriesStream()).Msgs; n != 0 {
		t.Errorf("schedules: %d, want none", n)
	}
	if held, err := other.Holds(t.Context(), ask.Delivery); !held || err != nil {
		t.Errorf("the other one's claim: %v, %v", held, err)
	}
}

// A mark that NATS takes late is not put in the place of a claim on the same message
// that this process holds by then.
func TestLateMark(t *testing.T) {
	t.Parallel()
	s, n := testStreams(t)
	one, lost := claimsOf(s, "one", 3*time.Second)
	held := mustTake(t, one, message(1), Admitted)
	n.Stop()
	one.leave(t.Context(), held, markReturned, remembered)
	n.Start()
	again := mustTake(t, one, message(1), Admitted)
	one.repeatMarks(t.Context(), time.Minute)
	if m := stands(t, one, held.subject); m.Sequence != again.sequence {
		t.Errorf("there is %s, want the claim", m.Data)
	}
	if len(lost) > 0 || len(one.pending) > 0 {
		t.Errorf("lost: %d, marks left: %d", len(lost), len(one.pending))
	}
}
