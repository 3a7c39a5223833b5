package simulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	tierFlex     = "flex"
	tierDefault  = "default"
	flexCapacity = "flex_capacity"
)

// hasFlex reports whether a model has endpoints of the tier flex. Which models have some is known of these alone; that
// google/gemini-2.5-flash has none is inferred.
func hasFlex(model string) bool {
	base, _, _ := strings.Cut(model, ":")
	return slices.Contains([]string{
		"google/gemini-2.5-flash-lite", "google/gemini-3.5-flash-lite", "google/gemini-3.7-flash",
	}, base)
}

// floors reports whether a model has the suffix :floor, which takes flex where it is cheapest and falls back.
func floors(model string) bool { return strings.HasSuffix(model, ":floor") }

// onlyFlex reports whether nothing but endpoints of flex may answer.
func (c chatRequest) onlyFlex() bool {
	var only []string
	if json.Unmarshal(c.Provider["only"], &only) != nil || len(only) == 0 {
		return false
	}
	return !slices.ContainsFunc(only, func(slug string) bool { return !strings.HasSuffix(slug, "/"+tierFlex) })
}

// servedBy returns the tier that serves a model: flex if it was asked for and exists, and silently the default one if not.
// Without a question there is no answer.
func (c chatRequest) servedBy(model string) string {
	flex := c.ServiceTier == tierFlex || c.onlyFlex() || floors(model)
	switch {
	case flex && hasFlex(model):
		return tierFlex
	case flex, c.ServiceTier != "":
		return tierDefault
	}
	return ""
}

// sticksToFlex reports whether the request does not fall back from flex: only then its lack of capacity is seen.
func (c chatRequest) sticksToFlex() bool {
	model := c.candidates()[0]
	return c.servedBy(model) == tierFlex && (c.ServiceTier == tierFlex || c.onlyFlex())
}

// tierFaults are errors of a price tier alone.
func tierFaults() []kind {
	return []kind{{
		name: flexCapacity, about: "flex has no capacity; calls that do not ask for it, or fall back, or whose model has none, are spared",
		params: []param{
			{name: "code", value: "429", oneOf: "429|503", about: "429 or 503"},
			retryAfter(""),
		},
		answer: func(e *exchange, a args) reply {
			code := a.number("code")
			return refused{code, errorType(code), "No flex capacity for " + e.call.Model}.
				reply(map[string]any{"provider_name": "Google"}).retryAfter(a)
		},
	}}
}

// tooLong names the first label that is over its limit.
func (c chatRequest) tooLong() string {
	switch {
	case utf8.RuneCountInString(c.User) > 128:
		return "user: Too big: expected string to have <=128 characters"
	case utf8.RuneCountInString(c.SessionID) > 256:
		return "session_id: Too big: expected string to have <=256 characters"
	case len(c.Metadata) > 16:
		return "metadata: Too big: expected at most 16 pairs"
	}
	for key, value := range c.Metadata {
		if utf8.RuneCountInString(key) > 64 || utf8.RuneCountInString(value) > 512 {
			return fmt.Sprintf("metadata.%s: Too big: expected keys of <=64 and values of <=512 characters", key)
		}
	}
	return ""
}
