package bus

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Messages in slots are looked at so many times in their ack wait. One of which the
// server has not heard for beatsEvery of these looks is told to be worked on, so that
// it hears of each every third of the ack wait at the latest, and of one that is
// settled by then never.
const (
	looksPerAckWait = 12
	beatsEvery      = 3
)

// keepAlive tells JetStream of the messages in all slots that they are worked on,
// until stop is called: one loop and one timer, however many slots there are. It ends idle
// goroutines on the way.
func (in *intake) keepAlive(ctx context.Context) (stop func()) {
	shortest := slices.MinFunc(in.queues, func(a, b *queue) int { return int(a.ackWait - b.ackWait) }).ackWait
	ending := make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() {
		look := time.NewTicker(max(time.Millisecond, shortest/looksPerAckWait))
		defer look.Stop()
		var due []*slot
		for {
			select {
			case <-ending:
				return
			case <-look.C:
				due = in.due(due[:0], time.Now())
				in.beat(ctx, due)
				clear(due) // else a slot lives as long as this list
				in.runners.trim()
			}
		}
	})
	return func() { close(ending); loop.Wait() }
}

// due adds the slots to a list whose messages are to be kept alive now. Nothing is
// sent under the lock that takes and settles messages.
func (s *slots) due(list []*slot, now time.Time) []*slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.held {
		if one.isDue(now) {
			list = append(list, one)
		}
	}
	return list
}

// beat keeps the messages of slots alive. What could not be told is due at the next
// look.
func (in *intake) beat(ctx context.Context, due []*slot) {
	var failed error
	n := 0
	for _, one := range due {
		if err := one.beat(time.Now()); err != nil {
			failed = err
			n++
		}
	}
	if failed != nil {
		in.log.DebugContext(ctx, "messages were not kept alive; if that lasts, they will be delivered again", "messages", n, "error", failed)
	}
}

func (s *slot) isDue(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.settled && now.Sub(s.alive) >= s.queue.ackWait*beatsEvery/looksPerAckWait
}

// beat tells the server that the message is worked on, by its newest handle, unless
// it is being settled: a progress acknowledgement behind a nack would undo its delay.
// The lock is held until it is on its way, so that settling comes behind it.
func (s *slot) beat(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settled {
		return nil
	}
	if err := s.m.inProgress(); err != nil {
		return err
	}
	s.alive = now
	return nil
}
