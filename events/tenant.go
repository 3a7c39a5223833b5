package events

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// DefaultTenant is who a request belongs to that comes on REQUEST_QUEUE itself.
const DefaultTenant = "default"

// maxTenant bounds a tenant's name.
const maxTenant = 64

// ValidTenant reports whether a name can be a tenant's: 1 to 64 characters of A-Z, a-z,
// 0-9, _ and -.
func ValidTenant(name string) bool { return isToken(name) && len(name) <= maxTenant }

// Lane is one of the two ways into the service, each of which has its share of the
// workers' slots.
type Lane string

// The lanes. There is no priority beyond them: inside a lane a tenant's requests are
// taken in the order in which they came, so that none is overtaken for ever.
const (
	LaneInteractive Lane = "interactive" // somebody waits for the answer
	LaneBatch       Lane = "batch"       // nobody does
)

// Requests is the subject of a tenant's requests in a lane: REQUEST_QUEUE for those of
// the default tenant, <REQUEST_QUEUE>.<tenant> for another's, and
// <REQUEST_QUEUE>.<tenant>.batch for the slow lane of either. An isolated tenant's names
// (see Of) have its own alone, whoever is asked for.
func (n Names) Requests(tenant string, lane Lane) string {
	switch {
	case n.tenant != "" && lane == LaneBatch:
		return n.RequestQueue + "." + batch
	case n.tenant != "":
		return n.RequestQueue
	case lane == LaneBatch:
		return n.RequestQueue + "." + tenant + "." + batch
	case tenant == DefaultTenant:
		return n.RequestQueue
	}
	return n.RequestQueue + "." + tenant
}

// ParseRequests returns whose requests come on a subject, and in which lane. ok is false
// if it is none that Requests makes.
func (n Names) ParseRequests(subject string) (tenant string, lane Lane, ok bool) {
	switch {
	case n.tenant != "" && subject == n.Requests(n.tenant, LaneBatch):
		return n.tenant, LaneBatch, true
	case n.tenant != "":
		return n.tenant, LaneInteractive, subject == n.RequestQueue
	case subject == n.RequestQueue:
		return DefaultTenant, LaneInteractive, true
	}
	rest, ok := strings.CutPrefix(subject, n.RequestQueue+".")
	if !ok {
		return "", "", false
	}
	tenant, word, slow := strings.Cut(rest, ".")
	switch {
	case !ValidTenant(tenant), slow && word != batch, !slow && tenant == DefaultTenant:
		return "", "", false
	case slow:
		return tenant, LaneBatch, true
	}
	return tenant, LaneInteractive, true
}

// Of returns the names of an isolated tenant, which has requests, results, cancellations
// and deltas apart from others': the queues are REQUEST_QUEUE and RESPONSE_QUEUE with the
// tenant behind them. For "" they are n's own. A backend in an account whose imports map
// the plain names to its tenant's needs none of this.
func (n Names) Of(tenant string) Names {
	if tenant == "" {
		return n
	}
	n.RequestQueue, n.ResponseQueue, n.tenant = n.RequestQueue+"."+tenant, n.ResponseQueue+"."+tenant, tenant
	return n
}

// IsolatedBy returns the tenant whose callback, if it is isolated, a callback is or lies
// below; "" if there can be none.
func (n Names) IsolatedBy(callback string) string {
	rest, ok := strings.CutPrefix(callback, n.ResponseQueue+".")
	if !ok {
		return ""
	}
	tenant, _, _ := strings.Cut(rest, ".")
	return tenant
}

// RequestsAll is the filter for the requests of every tenant but the default one, and of
// its slow lane.
func (n Names) RequestsAll() string { return n.RequestQueue + ".>" }

// TenantsBucket is the key-value bucket of the declared tenants.
func (n Names) TenantsBucket() string { return n.StreamPrefix + "_TENANTS" }

// TenantsStream is the stream of that bucket (ADR-8).
func (n Names) TenantsStream() string { return "KV_" + n.TenantsBucket() }

// TenantsAll is the filter for every declared tenant.
func (n Names) TenantsAll() string { return n.Tenant(">") }

// Tenant is the subject under which a tenant is declared.
func (n Names) Tenant(name string) string { return "$KV." + n.TenantsBucket() + "." + name }

// LimitsStream is the stream of the counters of calls and tokens that all workers share.
func (n Names) LimitsStream() string { return n.StreamPrefix + "_LIMITS" }

// LimitsAll is the filter for every such counter.
func (n Names) LimitsAll() string { return n.own(limits, ">") }

// Limit is the counters of a limit, without their last token, the number of a window: of
// requests or tokens a minute (the unit) of what (tenant, model, key) has that name.
func (n Names) Limit(what, name, unit string) string {
	if !isToken(name) || len(name) > maxTenant { // a model's name has dots and slashes
		hash := sha256.Sum256([]byte(name))
		name = hex.EncodeToString(hash[:8])
	}
	return n.own(limits, what, name, unit)
}

// BudgetsStream is the stream of the counters of money that all workers share.
func (n Names) BudgetsStream() string { return n.StreamPrefix + "_BUDGETS" }

// BudgetsAll is the filter for every such counter.
func (n Names) BudgetsAll() string { return n.own(budgets, ">") }

// BudgetCounters is the filter for every counter of a scope, which is a tenant or stands
// for all, in a period.
func (n Names) BudgetCounters(scope, period string) string { return n.own(budgets, scope, period, ">") }

// BudgetTotal is the counter of what is spent and reserved in a period.
func (n Names) BudgetTotal(scope, period string) string {
	return n.own(budgets, scope, period, "total")
}

// BudgetHeld is the counter of what is reserved by a process.
func (n Names) BudgetHeld(scope, period, process string) string {
	return n.own(budgets, scope, period, "held", process)
}

// BudgetWarned is the counter of those who have warned of a share of a budget.
func (n Names) BudgetWarned(scope, period, share string) string {
	return n.own(budgets, scope, period, "warned", share)
}

// TenantOf returns whose request a message is that came through the retries, and its
// lane, as its headers say: the default tenant's, and interactive, where they say nothing
// that can be.
func TenantOf(h Header) (tenant string, lane Lane) {
	tenant, lane = first(h, HeaderTenant), LaneInteractive
	if !ValidTenant(tenant) {
		tenant = DefaultTenant
	}
	if first(h, HeaderLane) == string(LaneBatch) {
		lane = LaneBatch
	}
	return tenant, lane
}

// IsolatedOf returns whether the tenant of a message that came through the retries was
// isolated when its request came, as its headers say; known is false where they do not.
func IsolatedOf(h Header) (isolated, known bool) {
	isolated, err := strconv.ParseBool(first(h, HeaderIsolated))
	return isolated, err == nil
}
