package bus

import (
	"slices"
	"testing"
	"time"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

func state(t *testing.T, bus *Bus, ask Ask, want State) Admission {
	t.Helper()
	got := bus.Admit(t.Context(), ask)[0]
	if got.State != want {
		t.Fatalf("admission of %s: got state %d, want %d", ask.ID, got.State, want)
	}
	return got
}

// One question is answered for many deliveries at once, in their order.
func TestAdmitMany(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.AckWait = time.Minute }) // what comes again would be taken for the next one
	bus := b.open()
	beats(t, bus.heartbeat)
	var asks []Ask
	for range 5 {
		asks = append(asks, b.deliver(bus, servicetest.NewID(), nil))
	}
	b.settle(bus, b.admitted(bus, asks[1]), completed(asks[1].ID))
	asks[2].Deadline = time.Now().Add(-time.Second)
	if _, err := b.JS.Publish(b.Context(), b.Names.Cancel(asks[3].ID), nil); err != nil {
		t.Fatal(err)
	}
	asks[4].InFlight = asks[0].Delivery // an earlier one
	again := asks[1]
	again.Delivery = b.deliver(bus, asks[1].ID, nil).Delivery
	asks[1] = again
	var got []State
	for _, a := range bus.Admit(b.Context(), asks...) {
		got = append(got, a.State)
	}
	if want := []State{Admitted, Answered, Expired, Cancelled, Duplicate}; !slices.Equal(got, want) {
		t.Errorf("got states %v, want %v", got, want)
	}
	for _, ask := range asks {
		b.settle(bus, ask.Delivery, End{})
	}
	b.Idle()
}

// admitted admits a request and returns its delivery.
func (b *bench) admitted(bus *Bus, ask Ask) *Delivery {
	b.t.Helper()
	if a := bus.Admit(b.Context(), ask)[0]; a.State != Admitted || a.Starts != 1 {
		b.t.Fatalf("admission of %s: got %+v, want it admitted for the first start", ask.ID, a)
	}
	return ask.Delivery
}

// A living process that works on a request keeps others away until it has
// settled it; what came through the retries comes again, and knows whose
// message it is.
func TestAdmissionsBesideALiveProcess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.open(), b.open()
	beats(t, one.heartbeat)
	beats(t, two.heartbeat)
	id := servicetest.NewID()
	d := b.admitted(one, b.deliver(one, id, nil))
	state(t, two, b.deliver(two, id, nil), Duplicate)
	retried := func() Ask {
		return Ask{Delivery: &Delivery{Stream: b.Names.RetriesStream(), Sequence: 7, Retried: true}, Callback: b.Names.ResponseQueue, ID: id}
	}
	state(t, two, retried(), Busy)
	here := retried()
	here.InFlight = d
	state(t, one, here, Busy)
	b.settle(one, d, completed(id))
	state(t, one, here, Answered)
	state(t, two, retried(), Answered)
}

// A request that waits as a schedule is found and can be settled like a
// delivery; a message of the request queue is superseded by it.
func TestWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	beats(t, bus.heartbeat)
	id := servicetest.NewID()
	if d, err := bus.Waiting(b.Context(), b.Names.ResponseQueue, id); d != nil || err != nil {
		t.Errorf("nothing waits: got %+v, %v", d, err)
	}
	d := b.admitted(bus, b.deliver(bus, id, nil))
	b.settle(bus, d, End{Schedule: &Schedule{At: time.Now().Add(time.Hour)}})
	late := b.deliver(bus, id, nil)
	state(t, bus, late, Rescheduled)
	b.settle(bus, late.Delivery, End{})
	waiting, err := bus.Waiting(b.Context(), b.Names.ResponseQueue, id)
	if err != nil || waiting == nil || string(waiting.Body) != string(d.Body) || !waiting.Retried {
		t.Fatalf("got %+v, %v", waiting, err)
	}
	state(t, bus, Ask{Delivery: waiting, Callback: b.Names.ResponseQueue, ID: id}, Admitted)
	if s := b.settle(bus, waiting, failing(id)); !s.Stored {
		t.Errorf("settled: got %+v", s)
	}
	if n := b.State(b.Names.RetriesStream()).Msgs; n != 1 {
		t.Errorf("schedules: %d, want 1: it stays until its time", n)
	}
}

// Of two messages of one request only the later may go for the other one, in whatever
// order they are admitted and whoever works on them: else each could go for the other.
func TestEarlierMessageStays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.open(), b.open()
	beats(t, one.heartbeat)
	beats(t, two.heartbeat)
	id := servicetest.NewID()
	first, second, third := b.deliver(one, id, nil), b.deliver(one, id, nil), b.deliver(one, id, nil)
	d := b.admitted(one, second)
	state(t, two, first, Busy)
	state(t, two, third, Duplicate)
	here := func(ask Ask, other *Delivery) Ask {
		ask.InFlight = other
		return ask
	}
	state(t, two, here(first, second.Delivery), Busy)
	state(t, two, here(second, first.Delivery), Duplicate)
	state(t, two, here(first, &Delivery{Stream: b.Names.RetriesStream(), Sequence: 7, Retried: true}), Duplicate)
	b.settle(one, d, completed(id))
	state(t, two, first, Answered)
	state(t, two, here(first, second.Delivery), Answered)
}
