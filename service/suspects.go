package service

import (
	"fmt"
	"math/rand/v2"
	"time"

	"gemini-client/events"
	"gemini-client/telemetry"
)

// A request that takes its worker down with it is started again and again. A
// start that never settled leaves its claim behind, and the next one counts it.
// Innocents beside a killer have such starts as well, so suspects are put back
// for random times: they come back apart, and only the killer dies again.
const (
	suspectStarts    = 3 // of a request that has no strike yet
	strikeStarts     = 2 // of one that has
	suspectWaitLeast = time.Second
	suspectWaitMost  = 20 * time.Second
)

// suspect returns the verdict on a request whose starts keep failing to
// settle; false for all others.
func (h *handler) suspect(w work) (verdict, bool) {
	strikes, _ := events.Strikes(w.delivery.Header)
	allowed := suspectStarts
	if strikes > 0 {
		allowed = strikeStarts
	}
	if w.starts < allowed {
		return verdict{}, false
	}
	strikes++
	if strikes > h.config.MaxStrikes {
		return failed(events.RedeliveryExhausted, fmt.Sprintf("The request was started again and again and never came to an end: %d times its worker stopped without a trace (MAX_STRIKES). It was not called again.", w.starts-1)), true
	}
	wait := suspectWaitLeast + rand.N(suspectWaitMost-suspectWaitLeast) //nolint:gosec // spreads suspects, no secret
	return verdict{
		kind: telemetry.VerdictLater, at: time.Now().Add(wait), strikes: strikes,
		failure: events.Failure{Code: events.RedeliveryExhausted, Message: fmt.Sprintf("The request was started %d times without an end; it comes back apart from others (strike %d).", w.starts, strikes)},
	}, true
}
