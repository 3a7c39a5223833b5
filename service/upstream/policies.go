package upstream

import (
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/common"
	"github.com/failsafe-go/failsafe-go/policy"
	"github.com/failsafe-go/failsafe-go/timeout"

	"gemini-client/service/config"
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
	return failsafe.With[answer](
		u.newRetry(),            // repeats what a short wait heals: 3 attempts
		around(u.withModel),     // the model, or a fallback where that one is left alone
		around(u.waitWhileOpen), // keeps the call in its slot while the breaker is open
		u.breaker,               // over OpenRouter's health: 50 % of 20 calls in 30 s open it
		around(u.withKey),       // a key that may be used; the next attempt gets another one where the key was at fault
	) // inside them, u.attempt runs the executor of the key
}

// composeKey builds the executor of one key's attempts, from outside in, once for
// each key.
func composeKey(c config.OpenRouter) (failsafe.Executor[answer], *turns) {
	turns := newTurns(c.KeysMaxPerMinute)
	return failsafe.With[answer](
		around(turns.wait),                 // KEYS_MAX_PER_MINUTE, by failsafe-go's rate limiter
		timeout.New[answer](c.CallTimeout), // of one attempt
	), turns
}

// around is a policy of our own, on failsafe-go's Policy interface: what it does
// around the policies inside it.
type around func(exec failsafe.Execution[answer], inner func() *result) *result

type result = common.PolicyResult[answer]

// ToExecutor implements failsafe.Policy.
func (a around) ToExecutor(answer) any { return &aroundExecutor{around: a} }

type aroundExecutor struct {
	policy.BaseExecutor[answer]
	around
}

// Apply implements policy.Executor.
func (e *aroundExecutor) Apply(inner func(failsafe.Execution[answer]) *result) func(failsafe.Execution[answer]) *result {
	return func(exec failsafe.Execution[answer]) *result {
		return e.around(exec, func() *result { return inner(exec) })
	}
}

// failure ends an execution with an error.
func failure(err error) *result { return &result{Error: err, Done: true} }
