package service

import (
	"fmt"
	"time"

	"gemini-client/events"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

// verdict is how a delivery ends: completed with an answer, failed for good,
// or later.
type verdict struct {
	kind    telemetry.Verdict
	answer  *upstream.Answer // of completed
	failure events.Failure   // of failed; of later, why
	at      time.Time        // of later
	strikes int              // of later, if the request is suspected of taking its workers down
	free    bool             // of later, if no call was made: it uses up no retry
}

// situation is what a verdict depends on besides the error.
type situation struct {
	now        time.Time
	deadline   time.Time // zero if there is none
	called     bool      // at least one call was made: only then a retry is used up
	retryCount int
	maxRetries int
	delay      time.Duration // of the retry that would be next, jitter included
}

func completed(answer *upstream.Answer) verdict {
	return verdict{kind: telemetry.VerdictCompleted, answer: answer}
}

func failed(code events.Code, text string) verdict {
	return verdict{kind: telemetry.VerdictFailed, failure: events.Failure{Code: code, Message: text}}
}

// passes reports whether time or another key may heal a failure.
func passes(code events.Code) bool {
	return code.Retryable() && code != events.RedeliveryExhausted && code != events.Internal
}

// judgeError is pure: the same error in the same situation has the same
// verdict.
func judgeError(e *upstream.Error, s situation) verdict {
	if e.Heals == upstream.Never {
		return failed(e.Code, e.Message)
	}
	if s.called && s.retryCount >= s.maxRetries {
		return failed(e.Code, fmt.Sprintf("%s Given up after %s (QUEUE_MAX_RETRIES).", e.Message, retries(s.retryCount)))
	}
	at := s.now.Add(max(s.delay, e.Wait))
	if !s.deadline.IsZero() && !at.Before(s.deadline) {
		return failed(events.DeadlineExceeded, fmt.Sprintf("%s The next try would be at %s, after the request's deadline.", e.Message, at.UTC().Format(time.RFC3339)))
	}
	return verdict{kind: telemetry.VerdictLater, free: !s.called, failure: events.Failure{Code: e.Code, Message: e.Message}, at: at}
}

func retries(n int) string {
	if n == 1 {
		return "1 retry"
	}
	return fmt.Sprintf("%d retries", n)
}

// judgeAnswer accepts what the model gave, with one exception: an answer that
// a filter emptied, or that is a refusal and nothing else, is a failure that no
// retry heals.
func judgeAnswer(c *upstream.Answer) verdict {
	if c.Content != "" || len(c.ToolCalls) > 0 || c.FinishReason != "content_filter" && c.Refusal == "" {
		return completed(c)
	}
	why := "The model's content filter withheld the answer."
	if c.FinishReason != "content_filter" {
		why = "The model refused to answer."
	}
	v := failed(events.ContentFiltered, why)
	v.answer = c // it may have been billed
	return v
}
