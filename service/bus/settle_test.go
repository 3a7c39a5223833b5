package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// one is a request that was delivered, and how it is asked for.
func (b *bench) deliver(bus *Bus, id string, header nats.Header) Ask {
	b.t.Helper()
	d := b.take(bus, servicetest.Body(id, "hello", nil), header)
	return Ask{Delivery: d, Callback: b.Names.ResponseQueue, ID: id}
}

// take publishes a message and takes it, without a Run.
func (b *bench) take(bus *Bus, body []byte, header nats.Header) *Delivery {
	b.t.Helper()
	b.Publish(body, header)
	taken := make(chan *Delivery, 1)
	in := bus.newIntake(Handlers{Deliver: func(_ context.Context, d *Delivery) {
		d.slot.stop()
		taken <- d
		d.slot.mu.Lock()
		defer d.slot.mu.Unlock()
		d.slot.settled = true // the test settles it
	}})
	free := in.take(b.Context())
	if n := in.fetch(b.Context(), context.Background(), bus.queues[1], 1); n != 1 {
		b.t.Fatal("the message was not delivered")
	}
	in.working.Wait()
	in.give(free - 1)
	return <-taken
}

func state(t *testing.T, bus *Bus, ask Ask, want State) Admission {
	t.Helper()
	got := bus.Admit(t.Context(), ask)[0]
	if got.State != want {
		t.Fatalf("admission of %s: got state %d, want %d", ask.ID, got.State, want)
	}
	return got
}

func completed(id string) End {
	r := events.Request{ID: id}.Completed("answered", time.Now())
	return End{Result: &r}
}

func failing(id string) End {
	r := events.Request{ID: id}.Failed(events.Failure{Code: events.UpstreamTimeout, Message: "no"}, time.Now())
	return End{Result: &r, DeadLetter: &DeadLetter{Code: events.UpstreamTimeout, Reason: "line one\nline two"}}
}

func (b *bench) settle(bus *Bus, d *Delivery, end End) Settled {
	b.t.Helper()
	s, err := bus.Settle(b.Context(), d, end)
	if err != nil {
		b.t.Fatalf("settle: %v", err)
	}
	return s
}

// One question is answered for many deliveries at once, in their order.
func TestAdmitMany(t *testing.T) {
	t.Parallel()
	b := setup(t)
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
	asks[4].InFlight = true
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

// What is kept of each end, and what becomes of message and claim.
func TestEnds(t *testing.T) {
	t.Parallel()
	schedule := func(string) End {
		return End{Schedule: &Schedule{At: time.Now().Add(time.Hour), Header: map[string]string{events.HeaderRetryCount: "1"}}}
	}
	tests := map[string]struct {
		end                                 func(id string) End
		settled                             Settled
		requests, retries, results, letters uint64
	}{
		"completed":        {completed, Settled{Stored: true}, 0, 0, 1, 0},
		"failed":           {failing, Settled{Stored: true, DeadLettered: true}, 0, 0, 1, 1},
		"rescheduled":      {schedule, Settled{}, 0, 1, 0, 0},
		"acknowledged":     {func(string) End { return End{} }, Settled{}, 0, 0, 0, 0},
		"nacked":           {func(string) End { return End{Nack: true} }, Settled{}, 1, 0, 0, 0},
		"nacked for later": {func(string) End { return End{Nack: true, After: time.Minute} }, Settled{}, 1, 0, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			bus := b.open()
			id := servicetest.NewID()
			d := b.admitted(bus, b.deliver(bus, id, nats.Header{"Nats-Odd": {"x"}, "Mine": {"y"}}))
			if got := b.settle(bus, d, tt.end(id)); got != tt.settled {
				t.Errorf("settled: got %+v, want %+v", got, tt.settled)
			}
			for stream, want := range map[string]uint64{
				b.Names.RequestsStream(): tt.requests, b.Names.RetriesStream(): tt.retries,
				b.Names.ResponsesStream(): tt.results, b.Names.DeadlettersStream(): tt.letters,
			} {
				if got := b.State(stream).Msgs; got != want {
					t.Errorf("%s: got %d messages, want %d", stream, got, want)
				}
			}
			other, _ := claimsOf(bus.claims.streams, "other", time.Second)
			if _, state, err := other.take(t.Context(), b.Names.ResponseQueue, id, message(99)); err != nil || state != Admitted {
				t.Errorf("the claim was not released: state %d, %v", state, err)
			}
		})
	}
}

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

// What the server finds too large is not settled, and can be settled in another
// way.
func TestTooLargeIsNotSettled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	id := servicetest.NewID()
	d := b.admitted(bus, b.deliver(bus, id, nil))
	large := completed(id)
	text := strings.Repeat("x", int(b.NC.MaxPayload()))
	large.Result.Content = &text
	header := map[string]string{"X": text}
	for name, end := range map[string]End{"result": large, "schedule": {Schedule: &Schedule{At: time.Now().Add(time.Hour), Header: header}}} {
		if s, err := bus.Settle(b.Context(), d, end); !errors.Is(err, ErrTooLarge) || s.Stored {
			t.Errorf("%s: got %+v, %v, want ErrTooLarge", name, s, err)
		}
	}
	if n := b.State(b.Names.RequestsStream()).Msgs; n != 1 {
		t.Errorf("the message was acknowledged: %d left", n)
	}
	if s := b.settle(bus, d, completed(id)); !s.Stored {
		t.Errorf("got %+v", s)
	}
	b.Idle()
}

// Without NATS a settlement waits until its context ends, and then nothing is
// settled.
func TestSettleWithoutNATS(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	id := servicetest.NewID()
	d := b.admitted(bus, b.deliver(bus, id, nil))
	b.nats.Stop()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errTest)
	for name, end := range map[string]End{"result": completed(id), "dead letter": failing(id), "schedule": {Schedule: &Schedule{At: time.Now()}}} {
		if _, err := bus.Settle(ctx, d, end); !errors.Is(err, errTest) {
			t.Errorf("%s: got %v, want the context's cause", name, err)
		}
	}
	if got := bus.Admit(ctx, Ask{Delivery: d, Callback: "gemini.responses", ID: id})[0]; got.State != Interrupted {
		t.Errorf("admission: got %+v, want it interrupted", got)
	}
	b.Until("it is not ready", func() (string, bool) { why := bus.Unready(); return why, why == "NATS is not connected" })
	b.nats.Start()
}

// A second result is refused, whoever is admitted.
func TestSettledOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.open(), b.open()
	id := servicetest.NewID()
	d := b.admitted(one, b.deliver(one, id, nil))
	again := b.deliver(two, id, nil)
	again.Delivery.asked = again
	if s := b.settle(two, again.Delivery, failing(id)); !s.Stored {
		t.Errorf("the first: got %+v", s)
	}
	if s := b.settle(one, d, completed(id)); s.Stored {
		t.Errorf("the second: got %+v, want it refused", s)
	}
	if n := len(b.Results()); n != 1 {
		t.Errorf("results: %d, want 1", n)
	}
	b.Idle()
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
	here.InFlight = true
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

// Deltas reach whoever asked for them, and nobody else.
func TestDeltas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	r := events.Request{ID: servicetest.NewID(), Stream: true}
	seen, err := b.NC.SubscribeSync(b.Names.Deltas(r.ID))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	quiet := bus.Deltas(events.Request{ID: r.ID})
	quiet.Piece(1, "not asked for")
	quiet.Done()
	d := bus.Deltas(r)
	d.Piece(1, "a")
	d.Piece(1, "b")
	d.Piece(2, "c")
	d.Done()
	var got []string
	for range 4 {
		m, err := seen.NextMsg(servicetest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		delta, err := events.DecodeDelta(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d/%d %s %v", delta.Attempt, delta.Index, delta.Content, delta.Done))
	}
	if want := []string{"1/0 a false", "1/1 b false", "2/0 c false", "2/1  true"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Cancellations and questions reach the handlers while the bus runs.
func TestHandlersAreCalled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	cancelled := make(chan string, 1)
	stop := b.run(bus, Handlers{Cancelled: func(id string) { cancelled <- id }, Status: func() any { return map[string]int{"a": 1} }})
	b.Result(b.Ask("it runs", nil))
	id := servicetest.NewID()
	if _, err := b.JS.Publish(b.Context(), b.Names.Cancel(id), nil); err != nil {
		t.Fatal(err)
	}
	if got := <-cancelled; got != id {
		t.Errorf("cancelled: got %s, want %s", got, id)
	}
	if m, err := b.NC.RequestWithContext(b.Context(), b.Names.Status(), nil); err != nil || string(m.Data) != `{"a":1}` {
		t.Errorf("status: got %v, %v", m, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	s, err := b.JS.Stream(b.Context(), b.Names.ClaimsStream())
	if err != nil {
		t.Fatal(err)
	}
	if m, err := s.GetLastMsgForSubject(b.Context(), b.Names.Instance(bus.Instance())); err == nil && len(m.Data) > 0 {
		t.Error("the heartbeat was not taken back")
	}
}
