package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/service/config"
)

// heavy publishes messages of so many bytes to a queue.
func (b *bench) heavy(queue string, n, size int) {
	b.t.Helper()
	for range n {
		if _, err := b.JS.Publish(b.Context(), queue, bytes.Repeat([]byte("x"), size)); err != nil {
			b.t.Fatal(err)
		}
	}
}

// What is in hand stays within the budget, and uses it.
func TestMemoryBoundsTheWork(t *testing.T) {
	t.Parallel()
	const budget, size, backlog = 10 << 20, 512 << 10, 12
	b := setup(t, func(c *config.Config) { c.MemoryBudget = budget })
	bus := b.open()
	b.heavy(b.Names.RequestQueue, backlog, size)
	var at, most, worked atomic.Int32
	both, once := make(chan struct{}), sync.Once{}
	stop := b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
		n := at.Add(1)
		if most.Store(max(most.Load(), n)); n == 2 {
			once.Do(func() { close(both) })
		}
		<-both // so that it is seen that there is room for two
		if used, _ := bus.memory.inHand(); used > budget || used < size*bodyCost {
			t.Errorf("%d bytes are in hand, with a budget of %d", used, budget)
		}
		worked.Add(1)
		at.Add(-1)
		_, _ = bus.Settle(ctx, d, End{})
	}})
	b.Idle()
	if err := stop(); err != nil || worked.Load() != backlog || most.Load() > budget/(size*bodyCost) {
		t.Errorf("worked on %d of %d, %d at once, want at most %d; Run returned %v", worked.Load(), backlog, most.Load(), budget/(size*bodyCost), err)
	}
	if left, _ := bus.memory.inHand(); left != 0 {
		t.Errorf("%d bytes were not given back", left)
	}
}

// Tiny headers cost far more memory than bytes of a pull. They go beyond the budget by
// no more than one message.
func TestHeadersWithinTheMemory(t *testing.T) {
	t.Parallel()
	const budget, messages, headers = 20 << 20, 30, 5_000
	b := setup(t, func(c *config.Config) { c.MemoryBudget, c.Concurrency = budget, messages })
	bus := b.open()
	header := nats.Header{}
	for i := range headers {
		header[fmt.Sprint("h", i)] = []string{""}
	}
	for range messages {
		b.Publish([]byte("x"), header)
	}
	full := make(chan struct{})
	stop := b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
		<-full
		_, _ = bus.Settle(ctx, d, End{})
	}})
	b.Until("no pull is under way, and there is no room for one", func() (string, bool) {
		why := bus.memory.full()
		bus.memory.mu.Lock()
		defer bus.memory.mu.Unlock()
		return why, why != "" && bus.memory.asked == 0
	})
	if used, _ := bus.memory.inHand(); used < budget/2 || used > budget+jsHeadersMax*headerCost {
		t.Errorf("%d bytes are in hand, with a budget of %d", used, budget)
	}
	close(full)
	b.Idle()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A message that is larger than the whole budget is taken alone, and the others go
// on after it.
func TestMessageLargerThanTheMemory(t *testing.T) {
	t.Parallel()
	const budget, size = 1 << 20, 900 << 10
	b := setup(t, func(c *config.Config) { c.MemoryBudget = budget })
	bus := b.open()
	for range 3 {
		b.publish(5)
		b.heavy(b.Names.RequestQueue, 1, size)
		b.heavy(b.Names.Retries(), 1, size)
	}
	b.publish(5)
	var worked, at atomic.Int32
	stop := b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
		if n := at.Add(1); len(d.Body) == size && n > 1 {
			t.Errorf("it was taken beside %d others", n-1)
		}
		worked.Add(1)
		at.Add(-1)
		_, _ = bus.Settle(ctx, d, End{})
	}})
	b.Idle()
	if err := stop(); err != nil || worked.Load() != 26 {
		t.Errorf("worked on %d of 26; Run returned %v", worked.Load(), err)
	}
}

// A large request gets its turn, though small messages that would fit keep coming
// through the retries, which are asked first.
func TestLargeMessageIsNotStarved(t *testing.T) {
	t.Parallel()
	const budget, small, large, smalls = 10 << 20, 300 << 10, 1000 << 10, 40
	const inHand = budget / bodyCost / (small + 1<<10)
	b := setup(t, func(c *config.Config) { c.MemoryBudget = budget })
	bus := b.open()
	b.heavy(b.Names.RequestQueue, 1, large)
	b.heavy(b.Names.Retries(), smalls, small)
	var taken atomic.Int32
	one, seen := make(chan struct{}), make(chan struct{})
	stop := b.run(bus, Handlers{Deliver: func(ctx context.Context, d *Delivery) {
		if taken.Add(1); len(d.Body) == large {
			close(seen)
		} else {
			select {
			case <-one:
			case <-seen:
			}
		}
		_, _ = bus.Settle(ctx, d, End{})
	}})
	ended := 0
	for large := false; !large; {
		select {
		case one <- struct{}{}: // one of the small ones ends
			ended++
			b.Until("another one is taken, or the large one has its turn", func() (string, bool) {
				return fmt.Sprint(taken.Load()), int(taken.Load()) >= min(smalls, ended+inHand) || bus.memory.blocks(bus.queues[1])
			})
		case <-seen:
			large = true
		}
	}
	if ended > 15 {
		t.Errorf("%d small messages ended before the large one was taken", ended)
	}
	b.Idle()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func (m *memory) blocks(q *queue) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.blocked == q
}

// Nobody waits for the message of a queue that does not answer.
func TestQueueThatDoesNotAnswerBlocksNone(t *testing.T) {
	t.Parallel()
	m, silent, other := newMemory(1<<20), &queue{}, &queue{}
	bytes, _ := m.grant(silent, 2<<20, 2<<20)
	m.ended(silent, bytes, 2<<20, true)
	if bytes, _ := m.grant(other, 2<<20, 2<<20); bytes != 0 {
		t.Errorf("the other queue may bring %d bytes before the message that waits", bytes)
	}
	m.pass(other)
	m.pass(silent)
	if bytes, _ := m.grant(other, 2<<20, 2<<20); bytes == 0 {
		t.Error("the other queue waits for one that does not answer")
	}
}

// An idle worker, and one with room, asks for as much as ever.
func TestMemoryThatIsAmple(t *testing.T) {
	t.Parallel()
	q := &queue{}
	for _, budget := range []int64{0, 1 << 40} {
		m := newMemory(budget)
		if bytes, alone := m.grant(q, 2<<20, 32<<20); bytes != 32<<20 || alone {
			t.Errorf("budget %d: a pull may bring %d bytes, alone %t", budget, bytes, alone)
		}
	}
}

// answers are slots whose answers grow.
func answers(m *memory, n int) (slots []*slot) {
	for range n {
		slots = append(slots, &slot{intake: &intake{memory: m}})
	}
	return slots
}

// A small answer never waits. A larger one waits until it fits, but one at a time
// goes on all the same, so that never all of them wait for each other.
func TestAnswersWaitForMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1 << 20)
		s := answers(m, 3)
		var ended []int
		var mu sync.Mutex
		var work sync.WaitGroup
		for i, one := range s {
			work.Go(func() {
				d := &Delivery{slot: one}
				if err := d.Room(t.Context(), smallAnswer); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Duration(i) * time.Second) //nolint:forbidigo // synctest's
				for range 10 {
					if err := d.Room(t.Context(), 64<<10); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(time.Minute) //nolint:forbidigo // synctest's
				mu.Lock()
				ended = append(ended, i)
				mu.Unlock()
				m.release(one)
			})
		}
		synctest.Wait()
		time.Sleep(10 * time.Second) //nolint:forbidigo // synctest's
		m.mu.Lock()
		if m.over != s[0] || m.waiting != 2 {
			t.Errorf("%d wait, want 2 for the first", m.waiting)
		}
		m.mu.Unlock()
		if bytes, _ := m.grant(&queue{}, 100, 100); bytes != 0 || m.full() == "" {
			t.Error("a pull was let in before the answers that wait, or nobody is told")
		}
		work.Wait()
		used, _ := m.inHand()
		if slices.Sort(ended); !slices.Equal(ended, []int{0, 1, 2}) || used != 0 || m.full() != "" {
			t.Errorf("ended %v, %d bytes in hand", ended, used)
		}
	})
}

// A wait ends with its context, and what was given back is there for others.
func TestMemoryIsGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1 << 20)
		s := answers(m, 3)
		take := func(ctx context.Context, one *slot, bytes int64) error { return m.room(ctx, one, bytes) }
		stopping := errors.New("stopping")
		ctx, stop := context.WithCancelCause(t.Context())
		done := make(chan error, 2)
		if err := take(ctx, s[0], 1<<20); err != nil { // goes beyond the budget
			t.Fatal(err)
		}
		go func() { done <- take(ctx, s[1], 128<<10) }()
		go func() { done <- take(t.Context(), s[2], 128<<10) }()
		synctest.Wait()
		stop(stopping)
		if err := <-done; !errors.Is(err, stopping) {
			t.Errorf("got %v", err)
		}
		if err := take(t.Context(), s[0], -1<<20); err != nil { // its attempt failed
			t.Error(err)
		}
		err := <-done
		if used, _ := m.inHand(); err != nil || used != 128<<10*bodyCost {
			t.Errorf("got %v, %d bytes in hand", err, used)
		}
		if d := (&Delivery{}); d.Room(t.Context(), 1<<40) != nil {
			t.Error("what is in no slot is not counted")
		}
	})
}
