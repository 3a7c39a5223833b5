package upstream

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"

	"gemini-client/events"
	"gemini-client/service/budget"
	"gemini-client/service/openrouter"
	"gemini-client/service/tenant"
	"gemini-client/telemetry"
)

// Budget has what calls cost reserved in a ledger before them, and settled after them. It
// is called once, before any call.
func (u *Caller) Budget(l *budget.Ledger) {
	u.money = l
	u.tel.Instruments.ObserveBudgets(func() (all []telemetry.BudgetNumbers) {
		for _, n := range l.Usages() {
			all = append(all, telemetry.BudgetNumbers{
				Tenant: n.Scope, Period: n.Kind, Limit: budget.USD(n.Limit), Spent: budget.USD(n.Spent), Reserved: budget.USD(n.Reserved()),
			})
		}
		return all
	})
}

// EndBudget ends the calls of cancelled requests, and waits until all that was settled is
// stored, or until ctx ends. All calls of Answer have ended before.
func (u *Caller) EndBudget(ctx context.Context) {
	if u.money == nil {
		return
	}
	u.left.close()
	if left := u.money.Close(ctx); left > 0 {
		u.tel.Logger.WarnContext(ctx, "what calls cost could not be stored in time: another worker settles what was reserved for them (BUDGET_ON_DEATH)", "usd", budget.USD(left))
	}
}

// complete makes the HTTP call, within the budgets of its tenant.
func (u *Caller) complete(ctx context.Context, c *call) error {
	if !u.money.Applies(c.tenant()) {
		return u.exchange(ctx, c)
	}
	if err := u.reserve(ctx, c); err != nil {
		return err
	}
	defer c.settleAll()
	err := u.exchange(ctx, c)
	c.settle(err)
	return err
}

// tenant is whose call it is.
func (c *call) tenant() string { return cmp.Or(c.event.Tenant, events.DefaultTenant) }

// weigh estimates what an attempt costs that is under a budget, before its turn is waited
// for: the catalogue may take seconds, and a permit is good for one.
func (u *Caller) weigh(ctx context.Context, c *call) (err error) {
	c.costs = 0
	if u.money.Applies(c.tenant()) {
		c.costs, err = u.estimate(ctx, c)
	}
	return err
}

// reserve reserves what the call costs at most. Errors: an *Error, ready's, ctx's cause.
func (u *Caller) reserve(ctx context.Context, c *call) (err error) {
	if c.costs == 0 { // the budget is new, or the model is free
		if err := u.weigh(ctx, c); err != nil {
			return err
		}
	}
	c.reserved, err = u.money.Reserve(ctx, c.tenant(), c.costs)
	if refused, ok := errors.AsType[*budget.Error](err); ok {
		return noRoom(refused)
	}
	if err == nil {
		err = cmp.Or(context.Cause(ctx), c.ready()) // it may have waited
	}
	if err != nil {
		c.reserved.Settle(0)
	}
	return err
}

// noRoom is the error of a call that a budget has no room for.
func noRoom(refused *budget.Error) *Error {
	k := kindBudgetHeld
	if refused.Why == budget.Spent && refused.WhenSpent == tenant.Fail {
		k = kindOverBudget
	}
	e := newError(k, refused.Again)
	e.say("", refused.Error())
	e.GoesBack, e.cause = k == kindBudgetHeld, refused
	return e
}

// settle settles what the call has cost, by how it ended; one that was left behind ends
// later.
func (c *call) settle(err error) {
	if c.left != nil {
		return
	}
	var usage Usage
	if err == nil {
		usage = answerUsage(c.answer)
	} else {
		usage = failedUsage(err)
	}
	c.settleCost(usage.Cost)
}

// settleCost settles a cost; one that nobody knows is that of the whole reservation: what
// was cut off is billed. A call that was left behind settles so when it ends.
func (c *call) settleCost(cost *float64) {
	if cost == nil {
		c.reserved.Settle(c.reserved.Amount())
		return
	}
	c.reserved.Settle(budget.Micros(*cost))
}

// settleAll books a call in full, unless it is settled, or left behind.
func (c *call) settleAll() {
	if c.left == nil {
		c.reserved.Settle(c.reserved.Amount())
	}
}

// failedUsage is the usage of an attempt that failed: it cost nothing where OpenRouter
// refused it before any answer, or never got it.
func failedUsage(err error) Usage {
	api, ok := errors.AsType[*openrouter.Error](err)
	if !ok {
		return Usage{}
	}
	usage := errorUsage(api)
	refused := api.Kind == openrouter.KindStatus && !api.Started && !runsBehind(api.Status)
	if usage.Cost == nil && (refused || api.Kind == openrouter.KindRequest || neverSent(err)) {
		usage.Cost = new(0.0)
	}
	return usage
}

// runsBehind reports whether a status is that of somebody on the way who had waited for
// long enough: the provider may go on, and bill.
func runsBehind(status int) bool {
	const originTimedOut = 524 // of Cloudflare
	return status == http.StatusRequestTimeout || status == http.StatusGatewayTimeout || status == originTimedOut
}

// neverSent reports whether there was no connection to send a call on.
func neverSent(err error) bool {
	network, ok := errors.AsType[*net.OpError](err)
	return ok && network.Op == "dial"
}
