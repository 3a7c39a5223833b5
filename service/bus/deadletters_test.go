package bus

import (
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// A dead letter keeps the original under its code, with NATS's headers out of
// force.
func TestDeadLetterKeepsTheOriginal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	id := servicetest.NewID()
	d := b.admitted(bus, b.deliver(bus, id, nats.Header{"Nats-Odd": {"x"}, "Mine": {"y"}}))
	b.settle(bus, d, failing(id))
	m := b.Stored(b.Names.DeadlettersStream())[0]
	if m.Subject != b.Names.Deadletter(events.UpstreamTimeout, id) || string(m.Body) != string(d.Body) || m.Header.Get("Mine") != "y" ||
		m.Header.Get("Gemini-Original-Nats-Odd") != "x" || m.Header.Get(events.HeaderReason) != "line one line two" {
		t.Errorf("got %s %v %s", m.Subject, m.Header, m.Body)
	}
}

// A message without a usable id was not admitted, and is kept all the same.
func TestDeadLetterWithoutID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	d := b.take(bus, []byte("not JSON"), nil)
	b.settle(bus, d, End{DeadLetter: &DeadLetter{Code: events.InvalidRequest, Reason: "no id"}})
	b.Idle()
	if m := b.Stored(b.Names.DeadlettersStream()); len(m) != 1 || m[0].Subject != b.Names.Deadletter(events.InvalidRequest, "") {
		t.Errorf("got %+v", m)
	}
}

// Only what came through the retries can be a replay; a requester's header is
// dropped, in any spelling.
func TestReplayIsGuarded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	d := b.deliver(bus, servicetest.NewID(), nats.Header{"gemini-replay": {"7"}, "Mine": {"y"}}).Delivery
	if len(d.Header) != 1 || d.Follows != 0 || d.Retried {
		t.Errorf("from the requests: got %+v", d)
	}
	for follows, header := range map[uint64]nats.Header{7: {events.HeaderReplay: {"7"}}, 0: {}} {
		d := &Delivery{Header: header, Retried: true}
		if d.guardReplay(); d.Follows != follows {
			t.Errorf("from the retries with %v: follows %d, want %d", header, d.Follows, follows)
		}
	}
}

// A replay is admitted after the very failure that it follows, and its result
// replaces that.
func TestReplayFollowsAFailure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	beats(t, bus.heartbeat)
	id := servicetest.NewID()
	b.settle(bus, b.admitted(bus, b.deliver(bus, id, nil)), failing(id))
	replay := func(follows uint64) Ask {
		return Ask{Delivery: &Delivery{Stream: b.Names.RetriesStream(), Sequence: 7, Retried: true, Follows: follows}, Callback: b.Names.ResponseQueue, ID: id}
	}
	other := replay(99)
	state(t, bus, other, Answered)
	b.settle(bus, other.Delivery, End{})
	right := replay(1)
	state(t, bus, right, Admitted)
	if s := b.settle(bus, right.Delivery, completed(id)); !s.Stored {
		t.Errorf("got %+v", s)
	}
	state(t, bus, replay(1), Answered)
}
