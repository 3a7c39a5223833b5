package tenant

import (
	"errors"
	"fmt"
	"path"
	"unicode/utf8"

	"gemini-client/events"
)

// Bounds of what is declared.
const (
	maxWeight    = 1000
	maxPerMinute = 1_000_000_000
	maxNote      = 500
)

// Tenant is what is declared of one tenant, as it is stored: a JSON object under the
// tenant's name. A zero limit is none. Start from [Undeclared]: the zero value has no
// weight.
type Tenant struct {
	// Name is the tenant's.
	Name string `json:"-"`
	// Weight is its share of the slots beside other tenants whose requests wait, 1 to 1000.
	Weight int `json:"weight"`
	// MaxInFlight bounds its requests in flight in each worker.
	MaxInFlight int `json:"max_in_flight,omitempty"`
	// RequestsPerMinute bounds the calls for it, in all workers together.
	RequestsPerMinute int `json:"requests_per_minute,omitempty"`
	// TokensPerMinute bounds the tokens of these calls, prompts and answers.
	TokensPerMinute int `json:"tokens_per_minute,omitempty"`
	// Budget is what it may spend.
	Budget Budget `json:"budget,omitzero"`
	// WhenSpent says what becomes of its requests while the budget is used up.
	WhenSpent WhenSpent `json:"when_spent,omitempty"`
	// Models are patterns of the models that it may name, beside MODELS_ALLOW; none: all of
	// those.
	Models []string `json:"models,omitempty"`
	// BatchOnly has all its requests answered in the slow lane.
	BatchOnly bool `json:"batch_only,omitempty"`
	// Isolated gives it a callback, cancellations and deltas of its own, so that other
	// tenants can be kept from them: see Names.Of.
	Isolated bool `json:"isolated,omitempty"`
	// Note is for people.
	Note string `json:"note,omitempty"`
}

// WhenSpent says what becomes of a tenant's requests while its budget is used up.
type WhenSpent string

// What becomes of them: they wait until the period ends or the budget is raised, or they
// fail with [events.BudgetExceeded]. Empty is Hold.
const (
	Hold WhenSpent = "hold"
	Fail WhenSpent = "fail"
)

// Undeclared is a tenant of which nothing is declared.
func Undeclared(name string) Tenant { return Tenant{Name: name, Weight: 1} }

// Validate checks what is declared. The error joins one error for each problem; each
// begins with the name of the field.
func (t Tenant) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !events.ValidTenant(t.Name) {
		wrong("name: %q is not a tenant's name; give 1 to 64 characters of A-Z, a-z, 0-9, _ and -", t.Name)
	}
	if t.Weight < 1 || t.Weight > maxWeight {
		wrong("weight: is %d; give a number from 1 to %d", t.Weight, maxWeight)
	}
	errs = append(errs, t.limits()...)
	if err := t.Budget.Validate(); err != nil {
		errs = append(errs, err)
	}
	if t.WhenSpent != "" && t.WhenSpent != Hold && t.WhenSpent != Fail {
		wrong("when_spent: is %q; give %s or %s", t.WhenSpent, Hold, Fail)
	}
	errs = append(errs, t.patterns()...)
	if t.Isolated && t.Name == events.DefaultTenant {
		wrong("isolated: %s cannot be: its requests come on REQUEST_QUEUE, and its results go to RESPONSE_QUEUE; isolate the others", t.Name)
	}
	if len(t.Note) > maxNote || !utf8.ValidString(t.Note) {
		wrong("note: has %d bytes; give at most %d of UTF-8", len(t.Note), maxNote)
	}
	return errors.Join(errs...)
}

func (t Tenant) limits() (errs []error) {
	for _, limit := range []struct {
		field string
		value int
	}{{"max_in_flight", t.MaxInFlight}, {"requests_per_minute", t.RequestsPerMinute}, {"tokens_per_minute", t.TokensPerMinute}} {
		if limit.value < 0 || limit.value > maxPerMinute {
			errs = append(errs, fmt.Errorf("%s: is %d; give a number from 1 to %d, or 0 for no limit", limit.field, limit.value, maxPerMinute))
		}
	}
	return errs
}

func (t Tenant) patterns() (errs []error) {
	for _, pattern := range t.Models {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			errs = append(errs, fmt.Errorf("models: %q is not a pattern; give a model's name, with * for any characters but /", pattern))
		}
	}
	return errs
}

// Lane is the lane in which a request is answered that came in another one.
func (t Tenant) Lane(came events.Lane) events.Lane {
	if t.BatchOnly {
		return events.LaneBatch
	}
	return came
}
