package upstream

import (
	"errors"
	"time"

	"gemini-client/events"
)

// Causes with which a caller ends the context of [Caller.Answer]. ErrDeadline is
// also the cause that Answer itself sets at the request's deadline.
var (
	ErrCancelled = errors.New("the request was cancelled")
	ErrDeadline  = errors.New("the request's deadline has passed")
	ErrStopping  = errors.New("the service is stopping")
)

// Healing says what can make a failed request succeed.
type Healing int

// The kinds of healing.
const (
	Never Healing = iota // the request or the configuration has to change
	Soon                 // a short wait
	Later                // a long wait
)

// Error is why there is no answer, classified once, where the attempt ended.
// errors.As finds it; errors.Is knows the cause.
type Error struct {
	Code    events.Code
	Message string        // a sentence for the requester; it quotes nothing of the request
	Heals   Healing       // by what
	Wait    time.Duration // that was asked for; 0 if none was

	// GoesBack says that no call was made because a budget, or a limit of the tenant or the
	// keys, has no room now: unless calls were made before, the request goes back to its
	// queue, for Wait, and is the next one of it then.
	GoesBack bool

	MayBeStored bool // of a batch: it may be there all the same

	kind    kind
	log     string    // a clause for people on call, in words of our own
	health  health    // what it says about OpenRouter
	key     keyEffect // what it says about the key
	affords int       // of keyDear: how many tokens the credit affords
	usage   Usage     // what was billed
	tooLong bool      // the wait that would heal it is longer than a call waits in the process
	cause   error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns what was classified.
func (e *Error) Unwrap() error { return e.cause }

// health is what a failure says about OpenRouter's health.
type health int

const (
	healthGood    health = iota // it answered, if only with a refusal
	healthBad                   // an outage
	healthSlow                  // it did not answer in time: an outage, or the model's fault
	healthModel                 // the fault of the model's providers
	healthUnknown               // it was not asked, or we did not wait for it
)

// keyEffect is what a failure says about the key that was used.
type keyEffect int

const (
	keyFine         keyEffect = iota
	keyLimited                // it made too many calls: let it cool down
	keyModelLimited           // the model's providers are at their limit: leave the model alone with it
	keyDear                   // its credit affords a shorter answer only: leave the model alone with it for longer ones
	keyRefused                // OpenRouter does not know it
	keySpent                  // its budget, or its account's, is used up
)
