package upstream

import (
	"cmp"
	"time"

	"gemini-client/events"
)

// Held returns for how long none of a tenant's requests should be taken, because a budget
// has no room for them, and why; "" if they should be. It may be asked often: a budget
// that is raised, or calls that were settled, end it at once. Now and then it is "" for a
// moment though the budget is used up, so that smaller requests, and those whose deadline
// has passed, are looked at.
func (u *Caller) Held(tenant string) (again time.Duration, why string) {
	return u.money.Held(cmp.Or(tenant, events.DefaultTenant))
}

// Budgeted reports whether what a tenant's calls cost is reserved in a budget.
func (u *Caller) Budgeted(tenant string) bool {
	return u.money.Applies(cmp.Or(tenant, events.DefaultTenant))
}
