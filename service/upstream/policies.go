package upstream

import (
	"context"
	"time"

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
	modelWaiters    = 4                      // one of so many slots may hold a call that waits for its model, or for long for a limit
	seatAfter       = time.Second            // which is what is long
)

// answer is what the policies hand on: nil beside an error.
type answer = *openrouter.Completion

// do answers a request under the policies. From outside in, each is a function that calls
// the next:
//
//	retry          repeats what a short wait heals: 3 attempts
//	withModel      the model, or a fallback where that one is left alone, under its own breaker
//	waitWhileOpen  keeps the call in its slot while OpenRouter's breaker is open: 50 % of 20 calls in 30 s open it
//	withKey        a key that may be used; the next attempt gets another one where the key was at fault
//	attempt        judges how the attempt went
//	awaitTurn      the limits that all workers share, of the tenant, the model and the key (package limits)
//	inTurn         KEYS_MAX_PER_MINUTE where it is this process's alone, by failsafe-go's rate limiter
//	complete       what the call may cost is reserved in the budgets, and settled after it (budgeted.go)
//	exchange       the call, within CALL_TIMEOUT
//
// They are failsafe-go's policies in their standalone use, which costs nothing while
// nothing fails; only what fails goes through an executor.
//
// Every frame below it stays on the stack of a call that waits for OpenRouter: what is
// large is kept in the call, or done in functions that return before.
func (u *Caller) do(ctx context.Context, c *call) {
	err := u.withModel(ctx, c)
	if err != nil {
		err = u.repeat(ctx, c, err)
	}
	c.conclude(ctx, err)
}

// step is what a breaker lets through.
type step = func(*Caller, context.Context, *call) error
