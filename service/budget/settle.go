package budget

import (
	"context"
	"fmt"
)

// settle notes what the call of a part has cost.
func (a *account) settle(p *part, cost int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = append(a.ended, settled{p, cost})
	a.run()
}

// giveBack stores what calls have cost that have ended: first less is held, then the
// total is lowered by what they did not cost. What others took is added to the total.
func (a *account) giveBack(ended []settled) {
	var held, unspent, extra, cost int64
	a.mu.Lock()
	for _, s := range ended {
		if s.part.orphan {
			extra += s.cost
			continue
		}
		held += s.part.amount
		unspent += s.part.amount - s.cost
		cost += s.cost
	}
	a.mu.Unlock()
	if held > 0 {
		a.ledger.drop(a.held(), held)
		if lapses, alive := a.ledger.Counters.Life(); lapses != a.lapses || !alive { // others may have taken it meanwhile
			unspent, extra = 0, extra+cost
		}
	}
	switch {
	case unspent > 0:
		a.ledger.lower(a.total(), unspent)
	case unspent < 0: // dearer than its estimate
		extra -= unspent
	}
	if extra > 0 {
		a.ledger.raise(a.total(), extra)
	}
	if a.ledger.ctx.Err() != nil {
		return
	}
	a.mu.Lock()
	for _, s := range ended {
		delete(a.open, s.part)
	}
	a.hold.freed()
	a.mu.Unlock()
	signal(a.freed)
}

// rename moves what is held to a new name of this process, whose sign of life has lapsed:
// others may have taken it. Where they have, what its calls cost is added to the total
// when they end. It returns false where that is not known yet.
func (a *account) rename(name string) bool {
	old := a.held()
	var value int64
	var sequence uint64
	filter := a.ledger.Names.BudgetCounters(a.scope, a.period)
	err := a.ledger.Counters.Totals(a.ledger.ctx, filter, func(counter string, total int64, last uint64) {
		if counter == old {
			value, sequence = total, last
		}
	})
	if err != nil {
		return false
	}
	mine := false
	if value > 0 {
		if mine, err = a.ledger.reap(a.ledger.ctx, old, a.name, value, sequence); err != nil {
			return false
		}
	}
	a.mu.Lock()
	open := a.ours()
	if mine = mine && value >= open; !mine { // nor are they when others took a part before: nobody knows of which calls
		open = 0
		for p := range a.open {
			p.orphan = true
		}
	}
	a.mu.Unlock()
	a.name = name
	if open > 0 {
		a.ledger.keep(a.held(), open)
	}
	if mine && value > open {
		a.ledger.lower(a.total(), value-open)
	}
	return true
}

// ours is what is reserved by this process and was taken by nobody. The lock is held.
func (a *account) ours() (sum int64) {
	for p := range a.open {
		if !p.orphan {
			sum += p.amount
		}
	}
	return sum
}

// reap takes what a process held; false if another one has. It asks once: the same id
// counts once, whoever asks.
func (l *Ledger) reap(ctx context.Context, held, process string, value int64, sequence uint64) (mine bool, err error) {
	id := fmt.Sprintf("reap/%s/%s/%d", held, process, sequence)
	_, err = l.Counters.Add(ctx, held, -value, id)
	switch {
	case err == nil:
		return true, nil
	case isCounted(err):
		return false, nil
	}
	return false, err
}
