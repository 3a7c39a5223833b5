package budget

import (
	"fmt"
	"slices"
	"time"
)

// watchEvery is how often the counters of each account are looked at.
const watchEvery = 5 * time.Second

// warnsAt is the share of a budget at which people are warned, in hundredths.
const warnsAt = 80

// follow looks at the accounts now and then until the ledger ends: for the dead, for what
// has to be warned of, and for those whose period is over.
func (l *Ledger) follow() {
	for l.ctx.Err() == nil {
		l.pause(watchEvery)
		for _, a := range l.all() {
			if !l.over(a) && a.inUse() {
				a.inspect()
			}
		}
	}
}

// over forgets an account whose period is over and which nobody uses.
func (l *Ledger) over(a *account) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	over := time.Now().After(a.bound.ends) && len(a.open) == 0 && !a.running
	if over {
		delete(l.accounts, a.key)
	}
	return over
}

// inUseFor is how long an account is looked at that nobody uses.
const inUseFor = 2 * time.Minute

func (a *account) inUse() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.open) > 0 || time.Since(a.used) < inUseFor
}

// inspect looks at one account. What cannot be done is tried again the next time.
func (a *account) inspect() {
	l := a.ledger
	u, err := a.look(l.ctx)
	if err != nil {
		return
	}
	for _, h := range u.Held {
		if instance := ProcessOf(h.Process); instance != l.Instance {
			a.bury(h, instance)
		}
	}
	if u.Spent*100 >= u.Limit*warnsAt {
		a.warn(warnsAt, u)
	}
}

// bury takes what a dead process held.
func (a *account) bury(h Held, instance string) {
	l := a.ledger
	if dead, err := l.Counters.Dead(l.ctx, instance); err != nil || !dead {
		return
	}
	held := l.Names.BudgetHeld(a.scope, a.period, h.Process)
	mine, err := l.reap(l.ctx, held, h.Process, h.Amount, h.sequence)
	if err != nil || !mine {
		return
	}
	if l.OnDeath == Release {
		l.lower(a.total(), h.Amount)
	}
	l.Log.WarnContext(l.ctx, "a worker died while it called: what its calls may have cost is settled", "budget", a.scope, "period", a.period,
		"usd", USD(h.Amount), "as", map[bool]string{true: "given back", false: "spent"}[l.OnDeath == Release], "instance", instance)
	a.mu.Lock()
	a.hold.freed()
	a.mu.Unlock()
	signal(a.freed)
}

// warnsSoon has it said that a budget is used up. The lock is held.
func (a *account) warnsSoon(b bound) {
	u := a.known
	u.Limit, u.Spent = b.limit, slices.Min(a.spent)
	if a.says(100, b.limit) {
		a.ledger.goes(func() { a.warn(100, u) })
	}
}

// says reports whether this process has not warned of a share of a limit. The lock is
// held.
func (a *account) says(share int, limit int64) bool { return !a.warned[warning{share, limit}] }

type warning struct {
	share int
	limit int64
}

// warn says once in a period, of all workers, that a share of the budget is spent.
func (a *account) warn(share int, u Usage) {
	l := a.ledger
	a.mu.Lock()
	says := a.says(share, u.Limit)
	a.mu.Unlock()
	if !says {
		return
	}
	first, err := l.Counters.Add(l.ctx, l.Names.BudgetWarned(a.scope, a.period, fmt.Sprintf("%d-%d", share, u.Limit)), 1, "")
	if err != nil {
		return
	}
	a.mu.Lock()
	a.warned[warning{share, u.Limit}] = true
	a.mu.Unlock()
	if first != 1 {
		return
	}
	line := fmt.Sprintf("more than %d %% of a budget is spent", share)
	if share == 100 {
		line = "a budget is used up: its requests wait for the end of the period or a higher budget, or fail, as it says"
	}
	l.Log.WarnContext(l.ctx, line, "budget", a.scope, "period", a.period, "limit_usd", USD(u.Limit), "spent_usd", USD(u.Spent))
}

// Usages are what was last known of the bounds that this process has used.
func (l *Ledger) Usages() []Usage {
	var list []Usage
	for _, a := range l.all() {
		a.mu.Lock()
		u, b := a.known, a.bound
		asked := !a.asked.IsZero()
		a.mu.Unlock()
		if asked && time.Now().Before(b.ends) {
			u.Limit = b.limit
			list = append(list, u)
		}
	}
	return list
}
