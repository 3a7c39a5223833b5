package bus

import (
	"context"
	"errors"
	"fmt"
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
		d.slot.end() // the test settles it
		taken <- d
	}})
	free := in.take(b.Context())
	if n := in.fetch(b.Context(), context.Background(), bus.queues[1], 1); n != 1 {
		b.t.Fatal("the message was not delivered")
	}
	in.runners.close()
	in.give(free - 1)
	return <-taken
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
		claim                               string // what stands in it
	}{
		"completed":        {completed, Settled{Stored: true}, 0, 0, 1, 0, ""},
		"failed":           {failing, Settled{Stored: true, DeadLettered: true}, 0, 0, 1, 1, markSettled},
		"rescheduled":      {schedule, Settled{}, 0, 1, 0, 0, markLater},
		"acknowledged":     {func(string) End { return End{} }, Settled{}, 0, 0, 0, 0, markSettled},
		"nacked":           {func(string) End { return End{Nack: true} }, Settled{}, 1, 0, 0, 0, markReturned},
		"nacked for later": {func(string) End { return End{Nack: true, After: time.Minute} }, Settled{}, 1, 0, 0, 0, markReturned},
		"crashed":          {func(string) End { return End{Nack: true, Crashed: true} }, Settled{}, 1, 0, 0, 0, markCrashed},
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
				b.Until(fmt.Sprintf("%s has %d messages", stream, want), func() (string, bool) {
					got := b.State(stream).Msgs
					return fmt.Sprint(got), got == want
				})
			}
			left, err := bus.claims.streams.last(t.Context(), bus.claims.streams.claims, b.Names.Claim(b.Names.ResponseQueue, id))
			if err != nil || left == nil {
				t.Fatalf("claim: %v, %v", left, err)
			}
			holder, _ := ParseHolder(left.Data)
			if want := strings.TrimPrefix(tt.claim+":"+bus.Instance(), ":"); holder.Instance != want || holder.isMark() == (tt.claim == "") {
				t.Errorf("the claim says %s, want %s", holder, want)
			}
		})
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

// Cancellations and questions reach the handlers while the bus runs.
func TestHandlersAreCalled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	cancelled := make(chan string, 1)
	stop := b.run(bus, Handlers{Cancelled: func(_, id string) { cancelled <- id }, Status: func() any { return map[string]int{"a": 1} }})
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

// A result or a schedule of what was not admitted would have no subject.
func TestNotAdmitted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	id := servicetest.NewID()
	d := b.deliver(bus, id, nil).Delivery
	for _, end := range []End{completed(id), {Schedule: &Schedule{At: time.Now()}}} {
		if _, err := bus.Settle(b.Context(), d, end); !errors.Is(err, errNotAdmitted) {
			t.Errorf("%+v: got %v", end, err)
		}
	}
	b.settle(bus, d, End{})
}

// A claim that would end soon after its result was stored is replaced: a copy whose
// look-up was faster than the result could take its place.
func TestClaimOutlastsTheResult(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	beats(t, bus.heartbeat)
	for name, tt := range map[string]struct {
		age  time.Duration
		want string
	}{
		"renewed in time": {renewAfter, bus.Instance()},
		"not renewed":     {renewAfter * 3 / 2, markSettled + ":" + bus.Instance()},
	} {
		id := servicetest.NewID()
		d := b.admitted(bus, b.deliver(bus, id, nil))
		d.claim.written = time.Now().Add(-tt.age)
		b.settle(bus, d, completed(id))
		if holder, _ := ParseHolder(stands(t, bus.claims, b.Names.Claim(b.Names.ResponseQueue, id)).Data); holder.Instance != tt.want {
			t.Errorf("%s: there is %s, want %s", name, holder.Instance, tt.want)
		}
	}
}
