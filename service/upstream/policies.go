package upstream

import (
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/common"
	"github.com/failsafe-go/failsafe-go/policy"
	"github.com/failsafe-go/failsafe-go/timeout"

	"gemini-client/service/openrouter"
)

// The policies' fixed numbers.
const (
	maxAttempts     = 3
	timeoutRetries  = 1 // in a delivery, of an attempt whose answer did not come in time
	firstBackoff    = 500 * time.Millisecond
	breakerCalls    = 20
	breakerShare    = 0.5
	breakerWindow   = 30 * time.Second
	breakerDelay    = 5 * time.Second
	breakerDelayMax = time.Minute
	probes          = 3 // calls that a half-open breaker lets through
	probeSuccesses  = 2
	probePolling    = 250 * time.Millisecond // how often a call looks whether a probe has ended
	modelLater      = 5 * time.Second        // the least wait of a request that is rescheduled because of its model
	modelSpreadMax  = 10 * time.Minute       // over which the requests of a sick model come back at most
	roomPatience    = time.Second            // for which an answer may wait for memory of ours and be judged as if it had not
	modelWaiters    = 4                      // one of so many slots may hold a call that waits for its model
)

// answer is what the policies hand on: nil beside an error.
type answer = *openrouter.Completion

// compose builds the executor of a call, from outside in, once for all calls: a
// call adds only its context, which carries its deadline, its cancellation and
// its [call].
func (u *Caller) compose() failsafe.Executor[answer] {
	return failsafe.With(append([]failsafe.Policy[answer]{
		u.newRetry(),               // repeats what a short wait heals: 3 attempts
		newAround(u.withModel),     // the model, or a fallback where that one is left alone, under its own breaker
		newAround(u.waitWhileOpen), // keeps the call in its slot while the breaker is open
	}, u.attemptPolicies()...)...)
}

// attemptPolicies are those of one attempt, from outside in.
func (u *Caller) attemptPolicies() []failsafe.Policy[answer] {
	return []failsafe.Policy[answer]{
		u.breaker,            // over OpenRouter's health: 50 % of 20 calls in 30 s open it
		newAround(u.withKey), // a key that may be used; the next attempt gets another one where the key was at fault
		newAround(u.attempt), // judges how the attempt went
		newAround(awaitTurn), // KEYS_MAX_PER_MINUTE, by failsafe-go's rate limiter
		timeout.New[answer](u.config.CallTimeout), // of one attempt
	} // inside them is u.call
}

// around is a policy of our own, on failsafe-go's Policy interface: what it does
// around the policies inside it. It keeps nothing of a call, so it is its own executor.
type around struct {
	policy.BaseExecutor[answer]
	do func(exec failsafe.Execution[answer], inner next) *result
}

// next is the policies inside one.
type next = func(failsafe.Execution[answer]) *result

type result = common.PolicyResult[answer]

func newAround(do func(exec failsafe.Execution[answer], inner next) *result) *around {
	return &around{do: do}
}

// ToExecutor implements failsafe.Policy.
func (a *around) ToExecutor(answer) any { return a }

// Apply implements policy.Executor.
func (a *around) Apply(inner next) next {
	return func(exec failsafe.Execution[answer]) *result { return a.do(exec, inner) }
}

// failure ends an execution with an error.
func failure(err error) *result { return &result{Error: err, Done: true} }
