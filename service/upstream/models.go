package upstream

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"gemini-client/telemetry"
)

// maxModels bounds the models whose health is kept. Requesters name the models.
const maxModels = 100

// models is the health of each model beside that of OpenRouter as a whole.
type models struct {
	tel *telemetry.Telemetry

	mu  sync.Mutex
	all map[string]*model
}

// model is the health of one model.
type model struct {
	name    string
	breaker *breaker // with the numbers of OpenRouter's own

	// Guarded by models.mu.
	used     time.Time // when it was last asked for
	answered time.Time // when it last began an answer
	failed   time.Time // when a call last failed in a way that the model or OpenRouter is to blame for
}

func newModels(tel *telemetry.Telemetry) *models {
	return &models{tel: tel, all: map[string]*model{}}
}

// of returns the health of a model, which is good if nothing is known. Where too
// much is known it forgets the model that was not asked for the longest, one that
// is not sick first.
func (m *models) of(name string) *model {
	m.mu.Lock()
	defer m.mu.Unlock()
	one := m.all[name]
	if one == nil {
		if len(m.all) >= maxModels {
			delete(m.all, m.least())
		}
		one = m.newModel(name)
		m.all[name] = one
	}
	one.used = time.Now()
	return one
}

func (m *models) least() (name string) {
	var least *model
	var sick bool
	for _, one := range m.all {
		open := !one.breaker.IsClosed()
		if least == nil || sick && !open || sick == open && one.used.Before(least.used) {
			least, sick = one, open
		}
	}
	return least.name
}

func (m *models) newModel(name string) *model {
	return &model{name: name, breaker: newBreaker(modelUnhealthy, func(b *breaker, e circuitbreaker.StateChangedEvent) { m.changed(name, b, e) })}
}

// modelUnhealthy tells the failures of a model's breaker. What says nothing about the
// model, such as an outage of OpenRouter as a whole, counts while its breaker is
// half-open, like a call that we cancelled.
func modelUnhealthy(b *breaker, err error) bool {
	var e *Error
	switch {
	case !errors.As(err, &e), e.health == healthUnknown, e.health == healthBad:
		return b.IsHalfOpen()
	}
	return e.health == healthModel
}

func (m *models) changed(name string, b *breaker, e circuitbreaker.StateChangedEvent) {
	ctx, log := e.Context(), m.tel.Logger
	switch e.NewState {
	case circuitbreaker.OpenState:
		log.WarnContext(ctx, "a model keeps failing: its requests ask a fallback or are rescheduled until it has recovered", "model", name, "tried_again_in", b.RemainingDelay().Round(time.Second))
	case circuitbreaker.HalfOpenState:
		log.InfoContext(ctx, "trying a model again with a few calls", "model", name)
	case circuitbreaker.ClosedState:
		log.InfoContext(ctx, "a model answers again", "model", name)
	}
}

// run makes the call if the model's breaker lets it; circuitbreaker.ErrOpen if it does
// not. A call for a request that has timed out before counts only if it succeeds: the
// prompt may be the reason.
func (one *model) run(ctx context.Context, c *call) error {
	if !c.suspect || !one.breaker.IsClosed() {
		return one.breaker.run(ctx, c, (*Caller).waitWhileOpen)
	}
	err := c.caller.waitWhileOpen(ctx, c)
	if err == nil {
		one.breaker.RecordSuccess()
	}
	return err
}

// spread is over how long the requests of a sick model come back: the longer it has
// been sick, the longer.
func (one *model) spread() time.Duration {
	return min(breakerDelay<<max(0, min(one.breaker.openings.Load()-1, 8)), modelSpreadMax)
}

// hasAnswered notes that a model has begun an answer.
func (m *models) hasAnswered(name string) {
	m.note(name, func(one *model) { one.answered = time.Now() })
}

// hasFailed notes that a call of a model has failed.
func (m *models) hasFailed(name string) { m.note(name, func(one *model) { one.failed = time.Now() }) }

func (m *models) note(name string, note func(*model)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one := m.all[name]; one != nil {
		note(one)
	}
}

// othersAnswer reports whether another model has answered lately, and not failed
// since.
func (m *models) othersAnswer(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	since := time.Now().Add(-breakerWindow)
	for _, one := range m.all {
		if one.name != name && one.answered.After(since) && one.answered.After(one.failed) {
			return true
		}
	}
	return false
}

// othersInUse reports whether a model was asked for lately that is none of these.
func (m *models) othersInUse(names []string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	since := time.Now().Add(-breakerWindow)
	for _, one := range m.all {
		if !slices.Contains(names, one.name) && one.used.After(since) {
			return true
		}
	}
	return false
}

// delay is how long a model is left alone because it is sick.
func (m *models) delay(name string) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one := m.all[name]; one != nil {
		return one.breaker.RemainingDelay()
	}
	return 0
}

// states returns the state of each model's breaker.
func (m *models) states() map[string]telemetry.BreakerState {
	m.mu.Lock()
	defer m.mu.Unlock()
	states := make(map[string]telemetry.BreakerState, len(m.all))
	for name, one := range m.all {
		states[name] = stateOf(one.breaker)
	}
	return states
}
