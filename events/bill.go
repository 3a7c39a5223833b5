package events

import (
	"cmp"
	"encoding/json"
	"math"
)

// Bill is what OpenRouter reported of one or more calls. What it did not report
// is nil.
type Bill struct {
	Usage   *Usage       `json:"usage,omitempty"`
	Cost    *float64     `json:"cost,omitempty"` // USD
	Details *CostDetails `json:"cost_details,omitempty"`
	// Key is the end of the key that the last call was made with that cost something, or
	// the last call of all if none did; empty if that is not known.
	Key string `json:"key,omitempty"`
}

// Plus returns the sum of two bills. Neither is changed. Of what only one of them
// knows, the sum is what that one says. other is the later one.
func (b Bill) Plus(other Bill) Bill {
	total := Bill{Usage: b.Usage, Cost: money(b.Cost, other.Cost), Details: b.Details.plus(other.Details), Key: cmp.Or(other.Key, b.Key)}
	if b.paid() && !other.paid() { // also where it is not known
		total.Key = b.Key
	}
	switch {
	case b.Usage == nil:
		total.Usage = other.Usage
	case other.Usage != nil:
		total.Usage = &Usage{
			PromptTokens:     b.Usage.PromptTokens + other.Usage.PromptTokens,
			CompletionTokens: b.Usage.CompletionTokens + other.Usage.CompletionTokens,
			TotalTokens:      b.Usage.TotalTokens + other.Usage.TotalTokens,
			CachedTokens:     sum(b.Usage.CachedTokens, other.Usage.CachedTokens),
			ReasoningTokens:  sum(b.Usage.ReasoningTokens, other.Usage.ReasoningTokens),
			AudioTokens:      sum(b.Usage.AudioTokens, other.Usage.AudioTokens),
		}
	}
	return total
}

// plus returns the sum of two, neither of which is changed.
func (c *CostDetails) plus(other *CostDetails) *CostDetails {
	if c == nil || other == nil {
		return cmp.Or(c, other)
	}
	return &CostDetails{
		Upstream:            money(c.Upstream, other.Upstream),
		UpstreamPrompt:      money(c.UpstreamPrompt, other.UpstreamPrompt),
		UpstreamCompletions: money(c.UpstreamCompletions, other.UpstreamCompletions),
	}
}

// money is a sum of dollars, without binary rounding errors: no 0.00014930000000000002.
func money(a, b *float64) *float64 {
	total := sum(a, b)
	if total != nil {
		*total = math.Round(*total*1e12) / 1e12
	}
	return total
}

func sum[N int | float64](a, b *N) *N {
	switch {
	case a == nil && b == nil:
		return nil
	case a == nil:
		return new(*b)
	case b == nil:
		return new(*a)
	}
	return new(*a + *b)
}

// paid reports whether something was paid for.
func (b Bill) paid() bool { return b.Cost != nil && *b.Cost > 0 }

// Empty reports whether nothing was billed, as far as is known.
func (b Bill) Empty() bool { return b.Usage == nil && b.Cost == nil }

// String is the value of HeaderBilled.
func (b Bill) String() string {
	text, err := json.Marshal(b)
	if err != nil { // a cost that is no number
		return "{}"
	}
	return string(text)
}

// Billed reads HeaderBilled. It returns the empty bill if the header is absent or
// is no bill.
func Billed(h Header) Bill {
	var b Bill
	value := first(h, HeaderBilled)
	if value == "" || json.Unmarshal([]byte(value), &b) != nil {
		return Bill{}
	}
	return b
}
