package events_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"gemini-client/events"
)

func TestCodes(t *testing.T) {
	t.Parallel()
	want := map[events.Code]struct{ retryable, deadletter bool }{
		"invalid_request":           {false, false},
		"callback_not_allowed":      {false, false},
		"payload_too_large":         {false, false},
		"deadline_exceeded":         {false, false},
		"cancelled":                 {false, false},
		"content_filtered":          {false, false},
		"context_length_exceeded":   {false, false},
		"model_unavailable":         {false, true},
		"unauthorized":              {true, true},
		"insufficient_credits":      {true, true},
		"budget_exceeded":           {false, false},
		"rate_limited":              {true, true},
		"upstream_unavailable":      {true, true},
		"upstream_timeout":          {true, true},
		"upstream_invalid_response": {true, true},
		"redelivery_exhausted":      {true, true},
		"internal":                  {true, true},
	}
	codes := events.Codes()
	for _, code := range codes {
		if _, listed := want[code]; !listed {
			t.Errorf("Codes()\n got %q\nwant only codes of the closed list", code)
		}
	}
	for code, w := range want {
		if !slices.Contains(codes, code) {
			t.Errorf("Codes()\n got %q\nwant %q among them", codes, code)
		}
		if code.Retryable() != w.retryable || code.Deadletter() != w.deadletter {
			t.Errorf("%s\n got retryable %v, deadletter %v\nwant %v, %v", code, code.Retryable(), code.Deadletter(), w.retryable, w.deadletter)
		}
	}
	if unknown := events.Code("unknown"); unknown.Retryable() || unknown.Deadletter() {
		t.Errorf("%s\n got retryable %v, deadletter %v\nwant neither: it is not ours", unknown, unknown.Retryable(), unknown.Deadletter())
	}
}

func TestFailureIsAnError(t *testing.T) {
	t.Parallel()
	want := events.Failure{Code: events.Internal, Message: "it broke"}
	var got events.Failure
	err := fmt.Errorf("handle: %w", want)
	if !errors.As(err, &got) || got != want || err.Error() != "handle: internal: it broke" {
		t.Errorf("errors.As(%v)\n got %v\nwant %v", err, got, want)
	}
}
