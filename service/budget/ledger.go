package budget

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gemini-client/service/tenant"
)

// Errors that Counters return.
var (
	// ErrCounted is an increment that was counted before, under the same id.
	ErrCounted = errors.New("the increment was counted already")
	// ErrUncountable says that nothing can be counted: the stream is missing, or refuses.
	ErrUncountable = errors.New("the counters cannot be used")
)

// IDsKept is for how long the server has to remember the ids of increments.
const IDsKept = 10 * time.Minute

// Counters are shared by all workers.
type Counters interface {
	Reader
	// Add adds to a counter and returns what it is then, counting it once under an id
	// that is not "". It asks once. Errors: ErrCounted, ErrUncountable, others after which
	// it may be counted or not.
	Add(ctx context.Context, counter string, by int64, id string) (total int64, err error)
	// Ready makes sure that there are counters. The error is ErrUncountable, or one that
	// says nothing.
	Ready(ctx context.Context) error
	// Life returns how often the sign of life of this process has lapsed so far, and
	// whether it is there. While it is there and the number stays the same, nobody has
	// taken this process for dead.
	Life() (lapses int, alive bool)
	// Dead reports whether a process is surely dead.
	Dead(ctx context.Context, instance string) (bool, error)
}

// OnDeath says what becomes of what a dead process held.
type OnDeath string

// What becomes of it: providers bill calls that were cut off, so it counts as spent; or
// it is given back.
const (
	Book    OnDeath = "book"
	Release OnDeath = "release"
)

// Config is what a Ledger works with. Instance is the name of this process.
type Config struct {
	Counters       Counters
	Names          Names
	Instance       string
	Fleet          tenant.Budget
	FleetWhenSpent tenant.WhenSpent
	OnDeath        OnDeath
	Tenants        *tenant.Registry
	Log            *slog.Logger
}

// Ledger reserves and settles what calls cost. It is safe for concurrent use. New makes
// it, Close ends it; until something is reserved it starts nothing.
type Ledger struct {
	Config
	ctx   context.Context //nolint:containedctx // of what goes on between calls
	end   context.CancelFunc
	watch sync.Once
	work  sync.WaitGroup
	ready ready
	held  atomic.Int64 // until when some budget holds its requests, in ns of Unix time

	starting sync.Mutex // of the next, which is asked for under the lock of an account
	closing  bool

	mu       sync.Mutex // comes before that of an account
	accounts map[key]*account
	silent   bool // the log says that nothing can be counted
}

type key struct{ scope, period string }

// New returns a ledger.
func New(c Config) *Ledger {
	l := &Ledger{Config: c, accounts: map[key]*account{}}
	l.ctx, l.end = context.WithCancel(context.Background())
	return l
}

// Applies reports whether what a tenant's calls cost is reserved.
func (l *Ledger) Applies(name string) bool {
	return l != nil && (!l.Fleet.IsZero() || !l.Tenants.Of(name).Budget.IsZero())
}

// bounds are those of a tenant's calls that begin at a time.
func (l *Ledger) bounds(name string, now time.Time) []bound {
	t := l.Tenants.Of(name)
	list := bounds(bounds(nil, name, t.Budget, t.WhenSpent, now), Fleet, l.Fleet, l.FleetWhenSpent, now)
	for i := range list {
		list[i].whose = name
	}
	return list
}

// Reserve reserves what a call of a tenant costs at most, in millionths of a USD, in each
// budget that bounds it, and waits a moment where only calls under way are in the way.
// What it returns has to be settled; nil has nothing to settle. Errors: an *Error, ctx's
// cause.
func (l *Ledger) Reserve(ctx context.Context, name string, amount int64) (*Reservation, error) {
	if !l.Applies(name) {
		return nil, nil //nolint:nilnil // there is nothing to reserve
	}
	l.watch.Do(func() { l.goes(l.follow) })
	r := &Reservation{}
	for _, b := range l.bounds(name, time.Now()) {
		a := l.account(b)
		p, err := a.reserve(ctx, b, amount)
		if err != nil {
			r.Settle(0)
			return nil, err
		}
		r.parts = append(r.parts, p)
	}
	return r, nil
}

// account returns the account of a bound.
func (l *Ledger) account(b bound) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := key{b.scope, b.period}
	a := l.accounts[k]
	if a == nil {
		a = newAccount(l, b)
		l.accounts[k] = a
	}
	a.setBound(b)
	return a
}

// all returns the accounts.
func (l *Ledger) all() []*account {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*account, 0, len(l.accounts))
	for _, a := range l.accounts {
		list = append(list, a)
	}
	return list
}

// Close waits until what was settled is stored, or until ctx ends; then it ends the
// ledger. What is left is of calls that have not ended, or is taken by others after this
// process is dead. It returns how much that is, in millionths of a USD.
func (l *Ledger) Close(ctx context.Context) (left int64) {
	all := l.all()
	for _, a := range all {
		a.drain(ctx)
	}
	l.Abandon()
	for _, a := range all {
		left += a.holds()
	}
	return left
}

// Abandon ends the ledger as the death of its process does: nothing more is counted.
func (l *Ledger) Abandon() {
	l.starting.Lock()
	l.closing = true
	l.starting.Unlock()
	l.end()
	l.work.Wait()
}

// goes starts something that ends with the ledger, unless that has ended.
func (l *Ledger) goes(do func()) bool {
	l.starting.Lock()
	defer l.starting.Unlock()
	if l.closing {
		return false
	}
	l.work.Go(do)
	return true
}

// Reservation is what is reserved for one call.
type Reservation struct {
	parts []*part
	once  sync.Once
}

// Settle says what the call has cost, in millionths of a USD. The first word counts. It
// returns at once: what is settled is stored behind it, as soon as it can be.
func (r *Reservation) Settle(cost int64) {
	if r == nil {
		return
	}
	r.once.Do(func() {
		for _, p := range r.parts {
			p.account.settle(p, max(0, cost))
		}
	})
}

// Amount is what is reserved in each budget; 0 of nil.
func (r *Reservation) Amount() int64 {
	if r == nil || len(r.parts) == 0 {
		return 0
	}
	return r.parts[0].amount
}
