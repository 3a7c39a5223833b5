package tenant

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxBudget bounds a budget, in USD: beyond it a sum of millionths does not fit a counter.
const maxBudget = 1e9

// Budget is what may be spent in each day, week (from Monday) and month, in USD and by UTC.
// 0 is no bound.
type Budget struct {
	Day   float64 `json:"day,omitempty"`
	Week  float64 `json:"week,omitempty"`
	Month float64 `json:"month,omitempty"`
}

// IsZero reports whether there is no budget.
func (b Budget) IsZero() bool { return b == Budget{} }

// Validate checks a budget. The error joins one error for each problem.
func (b Budget) Validate() error {
	var errs []error
	for _, one := range []struct {
		period string
		usd    float64
	}{{"day", b.Day}, {"week", b.Week}, {"month", b.Month}} {
		if !(one.usd >= 0 && one.usd <= maxBudget) {
			errs = append(errs, fmt.Errorf("budget: %s USD a %s; give a number from 0.000001 to %.0f, or 0 for none", usd(one.usd), one.period, maxBudget))
		}
	}
	return errors.Join(errs...)
}

// ParseBudget reads a budget from text such as "5/day" or "5/day,100/month"; "" is none.
func ParseBudget(text string) (b Budget, err error) {
	if strings.TrimSpace(text) == "" {
		return b, nil
	}
	var errs []error
	for part := range strings.SplitSeq(text, ",") {
		amount, period, _ := strings.Cut(strings.TrimSpace(part), "/")
		usd, err := strconv.ParseFloat(amount, 64)
		to := map[string]*float64{"day": &b.Day, "week": &b.Week, "month": &b.Month}[period]
		switch {
		case err != nil || math.IsNaN(usd) || to == nil:
			errs = append(errs, fmt.Errorf("budget: %q is none; give USD a day, week or month, such as 5/day or 5/day,100/month", part))
		case *to != 0:
			errs = append(errs, fmt.Errorf("budget: %s is there twice; give it once", period))
		default:
			*to = usd
		}
	}
	return b, errors.Join(append(errs, b.Validate())...)
}

// String is the text that ParseBudget reads.
func (b Budget) String() string {
	var parts []string
	add := func(amount float64, period string) {
		if amount != 0 {
			parts = append(parts, usd(amount)+"/"+period)
		}
	}
	add(b.Day, "day")
	add(b.Week, "week")
	add(b.Month, "month")
	return strings.Join(parts, ",")
}

func usd(amount float64) string { return strconv.FormatFloat(amount, 'f', -1, 64) }
