package bus

import (
	"container/heap"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// heldLong is from which wait on a queue is watched whose requests are not taken: a
	// deadline that passes sooner is seen when they are.
	heldLong = 5 * time.Second
	// overdueMost bounds the deadlines that are remembered of one queue.
	overdueMost = 100_000
	// overdueRead is how many are read before those that are due are answered.
	overdueRead = 500
	// overdueLook is how often a watched queue is looked at for new requests.
	overdueLook = time.Second
)

// deadlines are those of requests that wait in a queue, the next one first.
type deadlines []deadline

type deadline struct {
	at       time.Time
	sequence uint64
}

// Len is heap's.
func (d *deadlines) Len() int { return len(*d) }

// Less is heap's.
func (d *deadlines) Less(i, j int) bool { return (*d)[i].at.Before((*d)[j].at) }

// Swap is heap's.
func (d *deadlines) Swap(i, j int) { (*d)[i], (*d)[j] = (*d)[j], (*d)[i] }

// Push is heap's.
func (d *deadlines) Push(x any) { *d = append(*d, x.(deadline)) }

// Pop is heap's.
func (d *deadlines) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}

// waiting is what is known of the requests that wait in a queue.
type waiting struct {
	deadlines deadlines
	next      uint64 // the first sequence that was not read
}

// watch has the requests of a queue that are not taken for a long time answered all the
// same when their deadlines pass. Their messages stay where they are: when they are taken
// at last, the result is found, as long as results are kept. Every worker watches, and the
// claim lets one answer. What was read is not read again when the queue is held once more.
func (in *intake) watch(intake, work context.Context, q *queue, wait time.Duration) {
	if wait < heldLong || in.handlers.Deadline == nil || !q.watched.CompareAndSwap(false, true) {
		return
	}
	in.pulls.Go(func() {
		defer q.watched.Store(false)
		for n := 0; n == 0 && wait > 0; n, wait = in.mayTake(q) {
			more := in.readOn(intake, q)
			soon := in.expireDue(intake, work, q)
			if more {
				soon = 0
			}
			if !sleep(intake, soon) {
				return
			}
		}
	})
}

// expireDue has the requests answered whose deadlines have passed, and returns when to look
// again.
func (in *intake) expireDue(intake, work context.Context, q *queue) time.Duration {
	due := &q.waiting.deadlines
	for due.Len() > 0 && !(*due)[0].at.After(time.Now()) {
		in.expire(intake, work, q, heap.Pop(due).(deadline).sequence)
	}
	if due.Len() > 0 {
		return max(0, min(overdueLook, time.Until((*due)[0].at)))
	}
	return overdueLook
}

// watchHeld watches every queue of which nothing may be taken for long.
func (in *intake) watchHeld(intake, work context.Context, queues []*queue) {
	for _, q := range queues {
		if n, again := in.mayTake(q); n == 0 && !q.retries {
			in.watch(intake, work, q, again)
		}
	}
}

// readOn notes the deadlines of some requests in a queue that were not read yet, and returns
// whether there may be more.
func (in *intake) readOn(ctx context.Context, q *queue) (more bool) {
	w := &q.waiting
	for range overdueRead {
		if w.deadlines.Len() >= overdueMost {
			return false
		}
		m, err := in.messageOf(ctx, q, map[string]any{"seq": max(1, w.next), "next_by_subj": q.subject})
		if err != nil {
			in.unread(ctx, q, err)
			return false
		}
		if at := in.handlers.Deadline(q.tenant, m.Data); !at.IsZero() {
			heap.Push(&w.deadlines, deadline{at, m.Sequence})
		}
		w.next = m.Sequence + 1
	}
	return true
}

func (in *intake) unread(ctx context.Context, q *queue, err error) {
	if !errors.Is(err, errNoMessage) && ctx.Err() == nil {
		in.log.DebugContext(ctx, "the requests that wait were not looked at for their deadlines", "stream", q.stream, "error", err)
	}
}

// expire has a request answered whose deadline has passed.
func (in *intake) expire(intake, work context.Context, q *queue, sequence uint64) {
	m, err := in.messageOf(intake, q, map[string]any{"seq": sequence})
	if err != nil {
		in.unread(intake, q, err) // or it was taken meanwhile
		return
	}
	d := &Delivery{
		Body: m.Data, Header: m.Header, Queue: q.subject, Stream: q.stream, Sequence: m.Sequence, Deliveries: 1,
		Stored: m.Time, Taken: time.Now(), Tenant: q.tenant, Lane: q.effectiveLane(), stays: true,
	}
	d.guardReplay()
	d.isolate(in.tenants)
	in.guard(work, d, func() { in.handlers.Deliver(work, d) })
}

// messageOf asks for one message of a queue. Errors: errNoMessage, those of [Conn.Do].
// It waits while many are asked for: each is held in memory, beside what is in slots.
func (in *intake) messageOf(ctx context.Context, q *queue, which map[string]any) (m *jetstream.RawStreamMsg, err error) {
	select {
	case in.looks <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { <-in.looks }()
	err = in.conn.Do(ctx, strconv.Quote(in.conn.api(nextMessage(q.stream))), func(ctx context.Context) error {
		m, err = in.conn.message(ctx, q.stream, which)
		return err
	})
	return m, err
}
