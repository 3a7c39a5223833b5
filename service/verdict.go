package service

import (
	"fmt"
	"strconv"
	"time"

	"gemini-client/events"
	"gemini-client/service/upstream"
)

// verdict is how a request ends: completed with an answer, failed for good, or
// rescheduled.
type verdict struct {
	outcome    Outcome
	answer     *upstream.Answer // of completed, and of an answer that a filter withheld
	failure    events.Failure   // of failed; of rescheduled, why
	at         time.Time        // of rescheduled
	crashLoops int              // of rescheduled, if the request may be crashing its workers
	after      time.Duration    // of nacked
	free       bool             // of rescheduled, if no call was made: it uses up no retry
	timedOut   bool             // of rescheduled, if an answer did not come in time

	batch *enrolment // of rescheduled, if it waits for a batch, or has done so

	withoutReasoning, withoutTools, withoutMetadata bool // the server refused the result with it

	referred     bool // its result was to be an object
	stored       bool // and is one
	deadLettered bool // the original is kept already
}

// situation is what a verdict depends on besides the error.
type situation struct {
	now        time.Time
	deadline   time.Time // zero if there is none
	called     bool      // at least one call was made: only then a retry is used up
	retryCount int
	maxRetries int
	longest    time.Duration // that the request may wait; 0: any
	delay      time.Duration // of the retry that would be next, jitter included

	timedOut    bool // an answer did not come in time, and may have been billed
	timeouts    int  // deliveries before this one in which that was so
	maxTimeouts int  // how many may follow the first one
}

func completed(answer *upstream.Answer) verdict {
	return verdict{outcome: Completed, answer: answer}
}

func failed(code events.Code, text string) verdict {
	return verdict{outcome: Failed, failure: events.Failure{Code: code, Message: text}}
}

// judgeError is pure: the same error in the same situation has the same
// verdict.
func judgeError(e *upstream.Error, s situation) verdict {
	if e.Heals == upstream.Never {
		return failed(e.Code, e.Message)
	}
	if s.called && s.retryCount >= s.maxRetries && !e.GoesBack { // what waits for money has not failed
		return failed(e.Code, fmt.Sprintf("%s Given up after %s (QUEUE_MAX_RETRIES).", e.Message, retries(s.retryCount)))
	}
	if s.timedOut && s.timeouts >= s.maxTimeouts {
		return failed(events.UpstreamTimeout, fmt.Sprintf("%s An answer did not come in time in any of %d deliveries (TIMEOUT_MAX_RETRIES).", e.Message, s.timeouts+1))
	}
	if e.GoesBack && !s.called {
		return s.goesBack(e)
	}
	wait := s.wait(e)
	at := s.now.Add(wait)
	if !s.deadline.IsZero() && !at.Before(s.deadline) {
		return failed(events.DeadlineExceeded, fmt.Sprintf("%s The next try would be at %s, after the request's deadline.", e.Message, at.UTC().Format(time.RFC3339)))
	}
	if s.longest > 0 { // a try before the time that was asked for is better than one that nobody remembers
		at = s.now.Add(min(wait, s.longest))
	}
	return verdict{outcome: Rescheduled, free: !s.called, timedOut: s.timedOut, failure: events.Failure{Code: e.Code, Message: e.Message}, at: at}
}

// goesBack is the verdict on a request that a budget or a limit has no room for now: it goes
// back to its queue, and is delivered again at its deadline at the latest, which is answered then.
func (s situation) goesBack(e *upstream.Error) verdict {
	after := e.Wait
	if !s.deadline.IsZero() {
		after = min(after, s.deadline.Sub(s.now))
	}
	return verdict{outcome: Nacked, after: max(after, time.Millisecond), failure: events.Failure{Code: e.Code, Message: e.Message}}
}

// wait is how long until the next try. A request that was not called for comes
// again as soon as it can be: only calls use up the delays.
func (s situation) wait(e *upstream.Error) time.Duration {
	if !s.called && e.Wait > 0 {
		return e.Wait
	}
	return max(s.delay, e.Wait)
}

func retries(n int) string {
	if n == 1 {
		return "1 retry"
	}
	return strconv.Itoa(n) + " retries"
}

// judgeAnswer accepts what the model gave, with one exception: an answer that a
// filter emptied, or that is a refusal and nothing else, is a failure that no
// retry heals.
func judgeAnswer(a *upstream.Answer) verdict {
	if a.Content != "" || len(a.ToolCalls) > 0 || a.FinishReason != "content_filter" && a.Refusal == "" {
		return completed(a)
	}
	why := "The model's content filter withheld the answer."
	if a.FinishReason != "content_filter" {
		why = "The model refused to answer."
	}
	v := failed(events.ContentFiltered, why)
	v.answer = a // it may have been billed
	return v
}

// smaller is the verdict that follows when the server refused what this one
// publishes, as too large or as something else; false if there is none left. A
// request that cannot be rescheduled fails. A result that is too large, and no object
// either (refer), loses its reasoning first; then it becomes a failure, which at last
// loses the requester's metadata.
func (v verdict) smaller(tooLarge bool) (verdict, bool) {
	if v.outcome == Completed && v.stored && tooLarge {
		if lighter, ok := v.lighter(); ok {
			return lighter, true
		}
	}
	switch {
	case v.outcome == Rescheduled && tooLarge:
		return failed(v.failure.Code, v.failure.Message+" It could not be rescheduled: it is larger than the server accepts."), true
	case v.outcome == Rescheduled:
		return failed(v.failure.Code, v.failure.Message+" It could not be rescheduled: the message bus refuses it."), true
	case v.outcome == Completed && !tooLarge:
		v = failed(events.Internal, "The answer could not be stored: the message bus refuses it.")
	case v.outcome == Completed && v.answer.Reasoning != "" && !v.withoutReasoning:
		v.withoutReasoning = true
	case v.failure.Code != events.PayloadTooLarge && tooLarge:
		v = failed(events.PayloadTooLarge, "The result is larger than the message bus accepts (NATS max_payload); ask for a shorter answer or less metadata.")
	case !v.withoutMetadata:
		v.withoutMetadata = true
	default:
		return v, false
	}
	return v, true
}
