package service

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize/english"

	"gemini-client/events"
	"gemini-client/service/openrouter"
	"gemini-client/telemetry"
)

// verdict is how a delivery ends: completed with an answer, failed for good,
// or later.
type verdict struct {
	kind    telemetry.Verdict
	answer  *openrouter.Completion // of completed
	failure events.Failure         // of failed; of later, why
	at      time.Time              // of later
	strikes int                    // of later, if the request is suspected of taking its workers down
	free    bool                   // of later, if no call was made: it uses up no retry
}

// situation is what a verdict depends on besides the fault.
type situation struct {
	now        time.Time
	deadline   time.Time // zero if there is none
	called     bool      // at least one call was made: only then a retry is used up
	retryCount int
	maxRetries int
	delay      time.Duration // of the retry that would be next, jitter included
}

func completed(answer *openrouter.Completion) verdict {
	return verdict{kind: telemetry.VerdictCompleted, answer: answer}
}

func failed(code events.Code, text string) verdict {
	return verdict{kind: telemetry.VerdictFailed, failure: events.Failure{Code: code, Message: text}}
}

// passes reports whether time or another key may heal a failure.
func passes(code events.Code) bool {
	return code.Retryable() && code != events.RedeliveryExhausted && code != events.Internal
}

// judgeFault is pure: the same fault in the same situation has the same
// verdict.
func judgeFault(f fault, s situation) verdict {
	if f.heals == healsNever {
		return failed(f.code, f.text)
	}
	if s.called && s.retryCount >= s.maxRetries {
		return failed(f.code, fmt.Sprintf("%s Given up after %s (QUEUE_MAX_RETRIES).", f.text, english.Plural(s.retryCount, "retry", "retries")))
	}
	at := s.now.Add(max(s.delay, f.wait))
	if !s.deadline.IsZero() && !at.Before(s.deadline) {
		return failed(events.DeadlineExceeded, fmt.Sprintf("%s The next try would be at %s, after the request's deadline.", f.text, at.UTC().Format(time.RFC3339)))
	}
	return verdict{kind: telemetry.VerdictLater, free: !s.called, failure: events.Failure{Code: f.code, Message: f.text}, at: at}
}

// judgeAnswer accepts what the model gave, with one exception: an answer that
// a filter emptied, or that is a refusal and nothing else, is a failure that no
// retry heals.
func judgeAnswer(c *openrouter.Completion) verdict {
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
