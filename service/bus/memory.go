package bus

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
)

// What is in hand takes more memory than its bytes. A body is there as it came
// and as the text that was read from it; the collector lets the heap grow to twice
// what is in use, and needs room for what it has not yet collected. An answer is
// collected, encoded and sent. A header becomes an entry of a map.
const (
	bodyCost   = 5
	headerCost = 30
)

// smallPull is how many bytes a pull has to be worth, and smallAnswer how many
// an answer may always take: it is not to wait for others.
const (
	smallPull   = 64 << 10
	smallAnswer = 64 << 10
)

var errMemoryFull = errors.New("what they take has reached WORKER_MEMORY_BUDGET")

// memory is the bound of what this process has in hand: the bodies in its slots and
// the answers under way (WORKER_MEMORY_BUDGET). Pulls ask for what fits, answers
// wait until they fit.
type memory struct {
	budget int64 // 0: no bound

	mu      sync.Mutex
	used    int64         // by bodies and answers
	asked   int64         // by pulls under way
	freed   chan struct{} // closed when something is given back to those who sleep
	asleep  int
	waiting int    // answers, of those who sleep
	over    *slot  // the one whose answer may go beyond the budget, so that one always goes on
	blocked *queue // the one whose next message did not fit into what a pull had asked for
}

func newMemory(budget int64) *memory { return &memory{budget: budget, freed: make(chan struct{})} }

// grant returns how many bytes a pull may bring, 0 if there is no room or another
// queue's message waits for it. largest is what any message fits into, and most what
// no pull asks beyond; no less. alone says that it may bring one message only: one
// that may be larger than the budget. The caller ends the grant.
func (m *memory) grant(q *queue, largest, most int64) (bytes int64, alone bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if bytes, alone = m.fits(q, largest, most); bytes > 0 {
		m.asked += bytes * bodyCost
	}
	return bytes, alone
}

func (m *memory) fits(q *queue, largest, most int64) (bytes int64, alone bool) {
	free := (m.budget - m.used - m.asked) / bodyCost
	switch {
	case m.budget == 0:
		return most, false
	case m.blocked != nil && m.blocked != q:
		return 0, false
	case free >= largest:
		return min(free, most), false
	case m.blocked == q:
		if m.used+m.asked == 0 {
			return largest, true
		}
		return 0, false
	case m.waiting > 0 || free < min(smallPull, m.budget/bodyCost):
		return 0, false
	}
	return free, false
}

// messages is how many of n messages a pull may ask for: the bytes of a grant are
// bodies, and those of headers cost more. It is one at least. The caller asks before
// its grant.
func (m *memory) messages(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.budget == 0 {
		return n
	}
	return min(n, max(1, int((m.budget-m.used-m.asked)/(jsHeadersMax*headerCost))))
}

// ended ends a grant. tooLarge says that a message did not fit into what was left of
// it: unless any message would have fitted at first, the next pull of this queue
// waits until one does, and other queues wait for it, lest small messages
// take the room again and again.
func (m *memory) ended(q *queue, granted, largest int64, tooLarge bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked -= granted * bodyCost
	switch {
	case tooLarge && granted < largest:
		m.blocked = q
	case m.blocked == q:
		m.blocked = nil
	}
	m.wake()
}

// pass has nobody wait for a queue's message: the queue does not answer.
func (m *memory) pass(q *queue) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.blocked == q {
		m.blocked = nil
	}
}

// passOthers has nobody wait for a message of a queue that is none of these: nobody asks
// for it any more.
func (m *memory) passOthers(queues []*queue) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.blocked != nil && !slices.Contains(queues, m.blocked) {
		m.blocked = nil
	}
}

// wait waits until one of the queues may be asked; false when intake ends. full is
// called once if it has to wait.
func (m *memory) wait(intake context.Context, queues []*queue, largest int64, full func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for intake.Err() == nil {
		for _, q := range queues {
			if bytes, _ := m.fits(q, largest, largest); bytes > 0 {
				return true
			}
		}
		if full != nil {
			full()
			full = nil
		}
		m.sleep(intake)
	}
	return false
}

// sleep unlocks the memory until something is given back or ctx ends.
func (m *memory) sleep(ctx context.Context) {
	freed := m.freed
	m.asleep++
	m.mu.Unlock()
	select {
	case <-freed:
	case <-ctx.Done():
	}
	m.mu.Lock()
	m.asleep--
}

// hasRoom reports whether a message fits that nothing was granted for.
func (m *memory) hasRoom(msg *nats.Msg) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.budget == 0 || m.waiting == 0 && m.blocked == nil && m.used+m.asked+int64(msg.Size())*bodyCost <= m.budget
}

// take counts a message that has come.
func (m *memory) take(s *slot, msg *nats.Msg) {
	header := msg.Size() - len(msg.Data) - len(msg.Subject) - len(msg.Reply)
	m.mu.Lock()
	defer m.mu.Unlock()
	s.held += int64(len(msg.Data))*bodyCost + int64(header)*headerCost
	m.used += s.held
}

// room counts bytes more of a slot's answer, fewer if they are negative. It waits
// until they fit, unless the answer is small or the one that may go beyond the
// budget. The error is ctx's cause.
func (m *memory) room(ctx context.Context, s *slot, bytes int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for !m.mayGrow(s, bytes) {
		m.waiting++
		m.sleep(ctx)
		m.waiting--
		if ctx.Err() != nil {
			m.wake()
			return context.Cause(ctx)
		}
	}
	s.answer += bytes
	s.held += bytes * bodyCost
	m.used += bytes * bodyCost
	if bytes < 0 {
		m.leave(s)
	}
	return nil
}

func (m *memory) mayGrow(s *slot, bytes int64) bool {
	if m.budget == 0 || s.answer+bytes <= smallAnswer || m.used+bytes*bodyCost <= m.budget {
		return true
	}
	if m.over == nil {
		m.over = s
	}
	return m.over == s
}

// release gives back all that a slot holds.
func (m *memory) release(s *slot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= s.held
	s.held, s.answer = 0, 0
	m.leave(s)
}

func (m *memory) leave(s *slot) {
	if m.over == s {
		m.over = nil
	}
	m.wake()
}

// wake has everybody who sleeps look again.
func (m *memory) wake() {
	if m.asleep > 0 {
		close(m.freed)
		m.freed = make(chan struct{})
	}
}

// inHand is how much of the budget is used, and the budget.
func (m *memory) inHand() (used, budget int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used, m.budget
}

// full says for people that no pull is worth its while; "" if one is.
func (m *memory) full() string {
	if used, budget := m.inHand(); budget > 0 && (budget-used)/bodyCost < min(smallPull, budget/bodyCost) {
		return "the requests in hand use up WORKER_MEMORY_BUDGET"
	}
	return ""
}

// Room counts so many bytes more of a delivery's answer, fewer if they are
// negative, and waits until the process has room for them. The error is
// ctx's cause.
func (d *Delivery) Room(ctx context.Context, bytes int) error {
	if d.slot == nil {
		return nil
	}
	return d.slot.intake.memory.room(ctx, d.slot, int64(bytes))
}
