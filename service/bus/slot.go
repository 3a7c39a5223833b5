package bus

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// messageKey names a queue message. The time belongs to it because a deleted and
// recreated stream begins again at sequence 1.
type messageKey struct {
	stream   string
	sequence uint64
	stored   time.Time
}

// slots are the places for messages that are worked on at the same time.
type slots struct {
	free chan struct{}

	mu   sync.Mutex
	held map[messageKey]*slot
}

func newSlots(n int) *slots {
	s := &slots{free: make(chan struct{}, n), held: map[messageKey]*slot{}}
	s.give(n)
	return s
}

// take waits for a free slot and takes all there are; 0 when intake ends.
func (s *slots) take(intake context.Context) int {
	select {
	case <-s.free:
	case <-intake.Done():
		return 0
	}
	return 1 + s.takeUpTo(maxPull-1)
}

// takeFree takes all slots that are free.
func (s *slots) takeFree() int { return s.takeUpTo(maxPull) }

func (s *slots) takeUpTo(most int) (n int) {
	for n < most && s.tryTake() {
		n++
	}
	return n
}

// tryTake takes a slot if one is free.
func (s *slots) tryTake() bool {
	select {
	case <-s.free:
		return true
	default:
		return false
	}
}

func (s *slots) give(n int) {
	for range n {
		s.free <- struct{}{}
	}
}

// occupy puts a message into its slot; false if it is in one already, which then
// goes on with the newer handle.
func (s *slots) occupy(one *slot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if there := s.held[one.key]; there != nil {
		there.replace(one.m)
		return false
	}
	s.held[one.key] = one
	return true
}

// forget empties a slot.
func (s *slots) forget(one *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[one.key] == one {
		delete(s.held, one.key)
	}
}

// inFlight is the number of messages in slots.
func (s *slots) inFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held)
}

// slot holds a message that is worked on, and acknowledges it.
type slot struct {
	intake *intake
	queue  *queue
	key    messageKey

	of      *underWay   // of its tenant
	arrived atomic.Bool // it does not count as coming any more

	mu      sync.Mutex
	m       pulled    // a redelivery replaces it
	alive   time.Time // the server has known since then that it is worked on
	settled bool

	held, answer int64 // of memory, which guards them: in all, and bytes of the answer
}

func newSlot(in *intake, q *queue, m pulled, key messageKey) *slot {
	return &slot{intake: in, queue: q, key: key, m: m, alive: time.Now()}
}

// replace takes up a redelivery of the message: the older handle is
// stale.
func (s *slot) replace(m pulled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m, s.alive = m, time.Now()
	s.m.lighten()
}

func (s *slot) message() pulled {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m
}

// end is the beginning of settling: nothing keeps the message alive any more.
func (s *slot) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = true
}

func (s *slot) isSettled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settled
}

// ack acknowledges the message, and does not wait for the server to confirm it: a
// message whose acknowledgement is lost is delivered again, and its result is found.
func (s *slot) ack(ctx context.Context) {
	s.end()
	_, span := s.intake.tel.StartSettle(ctx, "ack", s.queue.subject)
	err := s.message().ack()
	span.End(errorType(err), err)
	s.intake.unsettled(ctx, "acknowledge", err)
}

// nack asks for another delivery. The server does not confirm that; if it was
// lost, the message is delivered again after the ack wait. It may come at once,
// and then gets a slot of its own.
func (s *slot) nack(ctx context.Context, after time.Duration) {
	s.end()
	s.intake.forget(s)
	_, span := s.intake.tel.StartSettle(ctx, "nak", s.queue.subject)
	err := s.message().nak(after)
	span.End(errorType(err), err)
	s.intake.unsettled(ctx, "nack", err)
}
