package budget

import (
	"context"
	"strconv"
	"sync"
	"time"
)

// account has the counters of one bound, and those who wait for it. One goroutine at a
// time speaks to the counters, while there is something to say: what is settled meanwhile,
// and those who come to wait, are the next increment together.
type account struct {
	key
	ledger *Ledger
	name   string        // of what this process holds; of the goroutine
	lapses int           // of the sign of life, which name goes with; of the goroutine
	freed  chan struct{} // gets one when something went back

	mu      sync.Mutex
	bound   bound // with the limit as it is now
	waiting []*waiter
	ended   []settled
	open    map[*part]struct{} // what is held by this process
	running bool
	idle    chan struct{} // closed when the goroutine has nothing to say; nil unless somebody waits
	room    int64         // what could be reserved when that was known last; 0: look
	known   Usage
	asked   time.Time // when known was read
	spent   []int64   // what the last looks found spent
	used    time.Time // when somebody wanted something of it last
	reading chan struct{}
	hold    hold
	warned  map[warning]bool
}

// part is what is reserved in one account.
type part struct {
	account *account
	amount  int64
	orphan  bool // others took it, as that of a dead process; under the account's lock
}

// settled is a part whose call has ended.
type settled struct {
	part *part
	cost int64
}

func newAccount(l *Ledger, b bound) *account {
	return &account{key: key{b.scope, b.period}, ledger: l, bound: b, lapses: -1, open: map[*part]struct{}{}, warned: map[warning]bool{}, freed: make(chan struct{}, 1), reading: make(chan struct{}, 1)}
}

// setBound takes up what is declared now.
func (a *account) setBound(b bound) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bound.limit != b.limit {
		a.room = 0 // whoever asks will look
	}
	a.bound, a.used = b, time.Now()
}

// run says what there is to say, on a goroutine of its own. The lock is held.
func (a *account) run() {
	if a.running {
		return
	}
	a.running = a.ledger.goes(func() {
		for a.step() {
		}
	})
}

// step stores what is settled and admits some of those who wait. It returns whether
// there may be more.
func (a *account) step() (more bool) {
	a.mu.Lock()
	if len(a.ended) == 0 && len(a.waiting) == 0 || a.ledger.ctx.Err() != nil {
		a.running = false
		if a.idle != nil {
			close(a.idle)
			a.idle = nil
		}
		a.mu.Unlock()
		return false
	}
	a.mu.Unlock()
	if !a.lives() {
		a.ledger.pause(lifeAgain)
		return true
	}
	a.mu.Lock()
	ended := a.ended
	a.ended = nil
	a.mu.Unlock()
	if len(ended) > 0 {
		a.giveBack(ended)
	}
	a.admit()
	return true
}

// lifeAgain is how soon it is looked again whether the sign of life is there.
const lifeAgain = 100 * time.Millisecond

// lives reports whether this process counts as alive; it takes a new name where its sign
// of life has lapsed.
func (a *account) lives() bool {
	lapses, alive := a.ledger.Counters.Life()
	if !alive {
		return false
	}
	if lapses == a.lapses {
		return true
	}
	name := a.ledger.Instance + "-" + strconv.Itoa(lapses)
	if a.name != "" && !a.rename(name) {
		return false
	}
	a.name, a.lapses = name, lapses
	return true
}

// total and held are the subjects of the counters.
func (a *account) total() string { return a.ledger.Names.BudgetTotal(a.scope, a.period) }

func (a *account) held() string { return a.ledger.Names.BudgetHeld(a.scope, a.period, a.name) }

// drain waits until there is nothing to say, or until ctx ends.
func (a *account) drain(ctx context.Context) {
	a.mu.Lock()
	if !a.running {
		a.mu.Unlock()
		return
	}
	if a.idle == nil {
		a.idle = make(chan struct{})
	}
	idle := a.idle
	a.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// holds is what is reserved by this process.
func (a *account) holds() (sum int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for p := range a.open {
		sum += p.amount
	}
	return sum
}

// signal puts one into a channel of one, unless it is there.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
