package bus

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

const aGroup = "0123456789abcdef"

func ready(t *testing.T, bus *Bus) *Bus {
	t.Helper()
	if !bus.BatchReady(t.Context()) {
		t.Fatal("no batches")
	}
	return bus
}

// A request is marked once after each retry, in the order in which they came, and its
// group is looked after once.
func TestEnrol(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := ready(t, b.open())
	var want []string
	for i := range 3 {
		m := Mark{Group: aGroup, Callback: "gemini.responses", ID: servicetest.NewID(), Retries: i, Bytes: 100 * i}
		for range 2 {
			if err := bus.Enrol(t.Context(), Enrolment{Mark: m, Tick: time.Now().Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
		}
		want = append(want, fmt.Sprint(m.ID, m.Retries, m.Bytes))
	}
	after := uint64(0)
	for _, one := range want {
		m, err := bus.NextMark(t.Context(), aGroup, after)
		if err != nil || m == nil || fmt.Sprint(m.ID, m.Retries, m.Bytes) != one || m.Callback != "gemini.responses" || m.Stored.IsZero() {
			t.Fatalf("got %v, %v; want %s", m, err, one)
		}
		after = m.Sequence
	}
	if m, err := bus.NextMark(t.Context(), aGroup, after); m != nil || err != nil {
		t.Errorf("behind the last one: %v, %v", m, err)
	}
	if n := b.State(b.Names.RetriesStream()).Msgs; n != 1 {
		t.Errorf("ticks: %d, want 1", n)
	}
}

// A stream that went away while the service ran is made again, and does not hold up every
// request that wants it.
func TestEnrolWithoutAStream(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := ready(t, b.open())
	if err := b.JS.DeleteStream(t.Context(), b.Names.BatchStream()); err != nil {
		t.Fatal(err)
	}
	e := Enrolment{Mark: Mark{Group: aGroup, Callback: "gemini.responses", ID: servicetest.NewID()}, Tick: time.Now().Add(time.Hour)}
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := bus.Enrol(short, e); err == nil {
		t.Fatal("no error")
	}
	if err := ready(t, bus).Enrol(t.Context(), e); err != nil {
		t.Error(err)
	}
}

// Of several who replace a record one does; one whose acknowledgement was lost is known
// by its words.
func TestBatchRecords(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := ready(t, b.open())
	var wins, conflicts int
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			_, err := bus.PutBatchRecord(t.Context(), "jobs", Record{Name: "a-0", Body: fmt.Append(nil, i)}, time.Hour)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				wins++
			case Conflict(err):
				conflicts++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if wins != 1 || conflicts != 7 {
		t.Errorf("%d wins and %d conflicts, want 1 and 7", wins, conflicts)
	}
	there, err := bus.BatchRecord(t.Context(), "jobs", "a-0")
	if err != nil || there.Sequence == 0 {
		t.Fatal(there, err)
	}
	if n, err := bus.PutBatchRecord(t.Context(), "jobs", Record{Name: "a-0", Body: there.Body}, time.Hour); err != nil || n != there.Sequence {
		t.Errorf("the same again: %d, %v; want %d", n, err, there.Sequence)
	}
	if _, err := bus.PutBatchRecord(t.Context(), "jobs", Record{Name: "b-1", Body: []byte("b")}, time.Hour); err != nil {
		t.Fatal(err)
	}
	next, err := bus.NextBatchRecord(t.Context(), "jobs", there.Sequence)
	if err != nil || next == nil || next.Name != "b-1" || string(next.Body) != "b" {
		t.Errorf("got %v, %v", next, err)
	}
	if none, err := bus.BatchRecord(t.Context(), "jobs", "c-2"); err != nil || none.Sequence != 0 {
		t.Errorf("got %v, %v", none, err)
	}
}

// A tick is delivered as one. A requester's headers make none, and do not say that a
// request waits for a batch.
func TestTick(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := ready(t, b.open())
	got := make(chan string, 2)
	b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
		state := "not claimed"
		if d.Tick != "" && bus.AdmitTick(ctx, d).State == Admitted {
			state = "claimed"
		}
		got <- fmt.Sprintf("%q %s %v", d.Tick, state, events.Batch(d.Header).Tried)
		_, _ = bus.Settle(ctx, d, End{})
	}})
	if err := bus.Tick(t.Context(), "a-0", time.Now()); err != nil {
		t.Fatal(err)
	}
	if line := <-got; line != `"a-0" claimed false` {
		t.Errorf("a tick: %s", line)
	}
	b.Publish(servicetest.Body(servicetest.NewID(), "Hi", nil), nats.Header{events.HeaderTick: {"a-0"}, events.HeaderBatch: {"tried"}})
	if line := <-got; line != `"" not claimed false` {
		t.Errorf("a request: %s", line)
	}
	b.Idle()
}

// Without BATCH_MAX_WAIT there is no stream, and nobody waits for batches.
func TestBatchesAreOff(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.BatchMaxWait = 0 })
	if bus := b.open(); bus.BatchReady(t.Context()) {
		t.Error("got batches, want none")
	}
	if _, err := b.JS.Stream(t.Context(), b.Names.BatchStream()); err == nil {
		t.Error("the stream is there")
	}
}

// While a tick is looked after another one may be set for the same name: the sooner of the
// two stays.
func TestSoonerTickStays(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]time.Duration{"set meanwhile": time.Minute, "its own": 3 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			bus := ready(t, b.open())
			began, settled := time.Now(), make(chan error, 1)
			b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
				bus.AdmitTick(ctx, d)
				if err := bus.Tick(ctx, d.Tick, began.Add(set)); err != nil {
					t.Error(err)
				}
				_, err := bus.Settle(ctx, d, End{Schedule: &Schedule{At: began.Add(time.Hour)}})
				settled <- err
			}})
			if err := bus.Tick(t.Context(), "a-0", time.Now()); err != nil {
				t.Fatal(err)
			}
			if err := <-settled; err != nil {
				t.Fatal(err)
			}
			m, err := bus.schedules.last(t.Context(), b.Names.BatchTick(), "a-0")
			if err != nil || m == nil {
				t.Fatalf("no tick is set: %v", err)
			}
			if want := min(set, time.Hour); dueAt(m.Header).Sub(began).Round(time.Minute) != want {
				t.Errorf("the next tick: in %v, want in %v", dueAt(m.Header).Sub(began), want)
			}
		})
	}
}
