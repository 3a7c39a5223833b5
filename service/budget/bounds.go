package budget

import (
	"fmt"
	"math"
	"time"

	"gemini-client/service/tenant"
)

// Fleet is the scope of the budget of all tenants together. No tenant has this name.
const Fleet = "$fleet"

// micro is how many counted units a USD has.
const micro = 1e6

// Micros is an amount in millionths of a USD, rounded up. What binary fractions add
// beyond the twelfth digit does not count.
func Micros(usd float64) int64 { return int64(math.Ceil(usd*micro - 1e-6)) }

// USD is an amount of millionths in USD.
func USD(micros int64) float64 { return float64(micros) / micro }

// bound is what may be spent by one scope in one period.
type bound struct {
	scope  string // a tenant, or Fleet
	kind   string // day, week, month
	period string // its name
	ends   time.Time
	limit  int64
	spent  tenant.WhenSpent
	whose  string // the tenant whose calls it bounds here; "" where it is looked at alone
}

// bounds adds those of a budget in the periods that a time lies in.
func bounds(list []bound, scope string, b tenant.Budget, spent tenant.WhenSpent, now time.Time) []bound {
	now = now.UTC()
	day := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	if b.Day > 0 {
		list = append(list, bound{scope: scope, kind: "day", period: "day-" + now.Format(time.DateOnly), ends: day.AddDate(0, 0, 1), limit: floor(b.Day), spent: spent})
	}
	if b.Week > 0 {
		year, week := now.ISOWeek()
		ends := day.AddDate(0, 0, 7-(int(now.Weekday())+6)%7)
		list = append(list, bound{scope: scope, kind: "week", period: fmt.Sprintf("week-%d-W%02d", year, week), ends: ends, limit: floor(b.Week), spent: spent})
	}
	if b.Month > 0 {
		ends := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		list = append(list, bound{scope: scope, kind: "month", period: "month-" + now.Format("2006-01"), ends: ends, limit: floor(b.Month), spent: spent})
	}
	return list
}

// floor is a limit in millionths.
func floor(usd float64) int64 { return int64(math.Floor(usd*micro + 1e-6)) }

// of is the owner of a budget in a sentence.
func (b bound) of() string {
	if b.scope == Fleet {
		return "all tenants together (BUDGET)"
	}
	return "tenant " + b.scope
}
