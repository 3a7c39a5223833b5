package bus

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// Copies of many requests, admitted at the same time through several workers while
// results are being stored, are called for once each. Claim and look-up go out
// together, so a claim that was released after its result would let some be called for
// twice.
func TestRoundsCallOnce(t *testing.T) {
	t.Parallel()
	setup(t).calledOnce(1000, 4, func([]*Bus, int) {})
}

// calledOnce has copies of requests admitted and answered at the same time, each copy by
// another worker, as the registry of what is in flight sees to. It fails unless each
// request is called for once. after is called after each answer, with their number.
func (b *bench) calledOnce(requests, copies int, after func(workers []*Bus, answers int)) {
	b.t.Helper()
	const abreast = 64
	var workers []*Bus
	for range copies {
		bus := b.open()
		beats(b.t, bus.heartbeat)
		workers = append(workers, bus)
	}
	calls, ids := make([]atomic.Int64, requests), make([]string, requests)
	for i := range ids {
		ids[i] = servicetest.NewID()
	}
	var answers atomic.Int64
	work := func(bus *Bus, message int) {
		d := &Delivery{Stream: b.Names.RequestsStream(), Sequence: uint64(message + 1), Deliveries: 1}
		id := ids[message/copies]
		if bus.Admit(b.Context(), Ask{Delivery: d, Callback: b.Names.ResponseQueue, ID: id})[0].State != Admitted {
			return
		}
		calls[message/copies].Add(1)
		if s, err := bus.keep(b.Context(), d, completed(id)); err != nil || !s.Stored {
			b.t.Errorf("the result of %s: %+v, %v", id, s, err)
		}
		bus.part(b.Context(), d, completed(id), true)
		after(workers, int(answers.Add(1)))
	}
	var all sync.WaitGroup
	for n := range copies * abreast {
		all.Go(func() {
			for message := n; message < requests*copies; message += copies * abreast {
				work(workers[n%copies], message)
			}
		})
	}
	all.Wait()
	for i := range calls {
		if n := calls[i].Load(); n != 1 {
			b.t.Errorf("request %d: %d calls, want 1", i, n)
		}
	}
}

// One alone is admitted by one message that is stored and one question, and many that
// come together share the question.
func TestRoundsAskOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	beats(t, bus.heartbeat)
	var questions, looks atomic.Int64
	listen(t, b, bus.conn.api("DIRECT.GET."+b.Names.ResponsesStream()), &questions)
	listen(t, b, bus.conn.api("DIRECT.GET."+b.Names.ResponsesStream()+".>"), &looks)
	ask := func(n uint64) Ask {
		return Ask{Delivery: &Delivery{Stream: b.Names.RequestsStream(), Sequence: n, Deliveries: 1}, Callback: b.Names.ResponseQueue, ID: servicetest.NewID()}
	}
	state(t, bus, ask(1), Admitted)
	b.Until("the question was heard", func() (string, bool) { return fmt.Sprint(questions.Load()), questions.Load() == 1 })
	const many = 500
	var all sync.WaitGroup
	for n := range uint64(many) {
		all.Go(func() {
			if got := bus.Admit(b.Context(), ask(n+2))[0].State; got != Admitted {
				t.Errorf("message %d: state %d", n+2, got)
			}
		})
	}
	all.Wait()
	if n := questions.Load(); n > many/2 || looks.Load() != 0 {
		t.Errorf("%d questions for many and %d for one, of %d requests that came together", n, looks.Load(), many)
	}
}

// A question for many that is not answered to its end, as through an export without
// response: stream, holds up one round and not each.
func TestRoundsDoNotWaitForSilence(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.APIPrefix = "bridge" })
	var questions atomic.Int64
	b.bridge("bridge", func(question string, answer []byte) []byte { // it passes on the first message of an answer
		if question == "DIRECT.GET."+b.Names.ResponsesStream() {
			questions.Add(1)
		}
		return answer
	})
	bus := b.open()
	bus.conn.mux.within = ticksToWait * 100 * time.Millisecond
	beats(t, bus.heartbeat)
	ids := []string{servicetest.NewID(), servicetest.NewID()}
	for i, id := range ids {
		b.stored(bus.results.streams, id, []byte("{}"))
		d := &Delivery{Stream: b.Names.RequestsStream(), Sequence: uint64(i + 1), Deliveries: 1}
		state(t, bus, Ask{Delivery: d, Callback: b.Names.ResponseQueue, ID: id}, Answered)
	}
	if n := questions.Load(); n != 1 {
		t.Errorf("%d questions, want 1", n)
	}
}

// listen counts the messages on a subject.
func listen(t *testing.T, b *bench, subject string, n *atomic.Int64) {
	t.Helper()
	conn := b.connect()
	if _, err := conn.Subscribe(subject, func(*nats.Msg) { n.Add(1) }); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
}
