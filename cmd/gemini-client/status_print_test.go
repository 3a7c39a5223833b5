package main

import (
	"strings"
	"testing"
	"time"

	"gemini-client/service/upstream"
)

// A key's line says whether it is used, or why not, and what OpenRouter told of it.
func TestKeyLine(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	before, soon := now.Add(-time.Minute), now.Add(time.Minute)
	for want, key := range map[string]upstream.KeyStatus{
		"…cdef  usable": {End: "cdef", State: "usable"},
		"3  usable":     {State: "usable"}, // too short to show anything of it
		"…cdef  rate_limited until 2026-11-27T12:01:00Z, ":                      {End: "cdef", State: "rate_limited", Until: &soon},
		"…cdef  insufficient_credits, -0.01 of 10.00 USD left (monthly)":        {End: "cdef", State: "insufficient_credits", Until: &before, Limit: new(10.0), Remaining: new(-0.01), Reset: "monthly"},
		"…cdef  usable, 4.20 of 10.00 USD left, expires 2026-11-27T12:01:00Z, ": {End: "cdef", State: "usable", Limit: new(10.0), Remaining: new(4.2), ExpiresAt: &soon},
		"…cdef  unauthorized, 1.00 USD left, expires 2026-11-27T11:59:00Z, ":    {End: "cdef", State: "unauthorized", Remaining: new(1.0), ExpiresAt: &before},
	} {
		if got := keyLine(2, key, now); !strings.HasPrefix(got, want) || strings.HasSuffix(want, "e") && got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
