package bus

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// A message is worked on for many times its ack wait, and is delivered once: the
// server hears of it often enough.
func TestMessagesAreKeptAlive(t *testing.T) {
	t.Parallel()
	const messages, beats = 5, 3 * looksPerAckWait // of each: three ack waits at least
	b := setup(t, func(c *config.Config) { c.AckWait = time.Second })
	bus := b.open()
	heard := b.listen(t, "$JS.ACK."+b.Names.RequestsStream()+".>")
	b.publish(messages)
	goOn := make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	defer release()
	b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
		if d.Deliveries != 1 {
			t.Errorf("message %d was delivered again while it was worked on", d.Sequence)
		}
		<-goOn
		_, _ = bus.Settle(ctx, d, End{})
	}})
	of := map[string]int{}
	for enough := 0; enough < messages; {
		m := next(t, heard)
		if string(m.Data) != "+WPI" {
			t.Fatalf("got %q, want a sign of life", m.Data)
		}
		if of[m.Subject]++; of[m.Subject] == beats/beatsEvery {
			enough++
		}
	}
	release()
	b.Idle()
}

// When a message is due: a quarter of its ack wait after it came, after its last sign
// of life, or after it came again, which has the newer handle used. One that is being
// settled never is, and gets none even where it was due just before.
func TestWhatIsKeptAlive(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	in := bus.newIntake(Handlers{})
	q := bus.queues[1]
	heard := b.listen(t, "handle.*")
	handle := func(name string) pulled { return pulled{&nats.Msg{Reply: "handle." + name}, bus.conn.Conn} }
	begun := time.Now()
	one, settled := newSlot(in, q, handle("one"), messageKey{sequence: 1}), newSlot(in, q, handle("settled"), messageKey{sequence: 2})
	one.alive, settled.alive = begun, begun
	in.occupy(one)
	in.occupy(settled)
	at := func(of time.Duration) []*slot { return in.due(nil, begun.Add(of)) }
	quarter := q.ackWait / 4
	if n := len(at(quarter - 1)); n != 0 {
		t.Errorf("due before their time: %d", n)
	}
	due := at(quarter)
	if len(due) != 2 {
		t.Fatalf("due: %d, want both", len(due))
	}
	settled.end()
	if n := len(at(quarter)); n != 1 {
		t.Errorf("due when one is settled: %d, want 1", n)
	}
	in.occupy(newSlot(in, q, handle("newer"), messageKey{sequence: 1}))
	if n := len(at(quarter)); n != 0 {
		t.Errorf("due when it has just come again: %d", n)
	}
	one.alive = begun
	in.beat(t.Context(), due)
	if n := len(at(quarter)); n != 0 {
		t.Errorf("due when the server has just heard of it: %d", n)
	}
	if err := handle("last").nak(0); err != nil {
		t.Fatal(err)
	}
	if m := next(t, heard); m.Subject != "handle.newer" || string(m.Data) != "+WPI" {
		t.Errorf("heard %q on %s, want a sign of life by the newer handle", m.Data, m.Subject)
	}
	if m := next(t, heard); m.Subject != "handle.last" {
		t.Errorf("heard %q on %s of what is settled", m.Data, m.Subject)
	}
	one.alive = begun.Add(quarter)
	if len(at(2*quarter-1)) != 0 || len(at(2*quarter)) != 1 {
		t.Error("want it due again a quarter after its last sign of life")
	}
}

// What could not be told is due at the next look.
func TestKeptAliveOnceThereIsAConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	in := bus.newIntake(Handlers{})
	one := newSlot(in, bus.queues[1], pulled{&nats.Msg{Reply: "x"}, bus.conn.Conn}, messageKey{sequence: 1})
	one.alive = time.Now().Add(-time.Hour)
	in.occupy(one)
	bus.Close()
	in.beat(t.Context(), in.due(nil, time.Now()))
	if n := len(in.due(nil, time.Now())); n != 1 {
		t.Errorf("due: %d, want 1", n)
	}
}

// listen hears what is published on a subject.
func (b *bench) listen(t *testing.T, subject string) <-chan *nats.Msg {
	t.Helper()
	heard := make(chan *nats.Msg, 1000)
	if _, err := b.NC.ChanSubscribe(subject, heard); err != nil {
		t.Fatal(err)
	}
	if err := b.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	return heard
}

func next(t *testing.T, heard <-chan *nats.Msg) *nats.Msg {
	t.Helper()
	select {
	case m := <-heard:
		return m
	case <-time.After(servicetest.Patience):
		t.Fatal("nothing more is heard")
		return nil
	}
}

// What a slot costs beside the work in it.
func BenchmarkSlot(b *testing.B) {
	in := &intake{slots: newSlots(1)}
	q := &queue{ackWait: 30 * time.Second}
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		one := newSlot(in, q, pulled{}, messageKey{sequence: n})
		in.occupy(one)
		one.end()
		in.forget(one)
	}
}
