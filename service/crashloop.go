package service

import (
	"fmt"
	"math/rand/v2"
	"time"

	"gemini-client/events"
	"gemini-client/service/bus"
)

// A start that never settled leaves its claim behind, and the next start counts
// it. Requests that ran beside a crashing one have such starts as well: all are
// rescheduled for random times, and only the culprit crashes its worker again. The
// header Gemini-Strikes counts how often.
const (
	crashLoopStarts = 3 // of a request that was not rescheduled for it yet
	crashLoopAgain  = 2 // of one that was
	crashLoopLeast  = time.Second
	crashLoopMost   = 20 * time.Second
)

// crashLoop returns the verdict on a request whose starts keep failing to
// settle; false for all others.
func crashLoop(d *bus.Delivery, starts, maxCrashLoops int, now time.Time) (verdict, bool) {
	crashLoops, _ := events.Strikes(d.Header)
	allowed := crashLoopStarts
	if crashLoops > 0 {
		allowed = crashLoopAgain
	}
	if starts < allowed {
		return verdict{}, false
	}
	crashLoops++
	if crashLoops > maxCrashLoops {
		return failed(events.RedeliveryExhausted, fmt.Sprintf("The request was started again and again and never came to an end: %d times its worker stopped without a trace (MAX_STRIKES). It was not called again.", starts-1)), true
	}
	wait := crashLoopLeast + rand.N(crashLoopMost-crashLoopLeast) //nolint:gosec // spreads them, no secret
	return verdict{
		outcome: Rescheduled, at: now.Add(wait), crashLoops: crashLoops,
		failure: events.Failure{Code: events.RedeliveryExhausted, Message: fmt.Sprintf("The request was started %d times without an end; it is rescheduled apart from others (crash loop %d).", starts, crashLoops)},
	}, true
}
