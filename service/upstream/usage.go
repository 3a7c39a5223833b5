package upstream

import (
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// Usage is what OpenRouter reports of an attempt besides the answer. A failed
// attempt may have been billed too. Empty and nil: not reported.
type Usage struct {
	events.Bill
	GenerationID string
	Provider     string // behind OpenRouter
	FinishReason string
	ServiceTier  string // the price tier that answered
	Cached       bool   // from OpenRouter's response cache

	firstToken time.Time
}

// answerUsage reads the usage of an attempt that got an answer.
func answerUsage(a answer) Usage {
	u := newUsage(a.Usage, Usage{
		GenerationID: a.ID, Provider: a.Provider, FinishReason: a.FinishReason, firstToken: a.FirstToken,
		ServiceTier: a.ServiceTier, Cached: a.Cached,
	})
	if u.Cached && u.Cost == nil {
		u.Cost = new(0.0) // a hit is free, also where its usage did not arrive
	}
	return u
}

// errorUsage reads the usage of an attempt that failed.
func errorUsage(e *openrouter.Error) Usage {
	return newUsage(e.Usage, Usage{GenerationID: e.GenerationID, Provider: e.Provider, firstToken: e.FirstToken})
}

func newUsage(tokens *openrouter.Usage, u Usage) Usage {
	if tokens == nil {
		return u
	}
	u.Cost = tokens.Cost
	u.Usage = &events.Usage{
		PromptTokens: int(tokens.PromptTokens), CompletionTokens: int(tokens.CompletionTokens), TotalTokens: int(tokens.TotalTokens),
		CachedTokens: count(tokens.CachedTokens), ReasoningTokens: count(tokens.ReasoningTokens),
		AudioTokens: count(tokens.AudioTokens),
	}
	if d := tokens.CostDetails; d != nil {
		u.Details = &events.CostDetails{Upstream: d.Upstream, UpstreamPrompt: d.UpstreamPrompt, UpstreamCompletions: d.UpstreamCompletions}
	}
	return u
}

func count(n *int64) *int {
	if n == nil {
		return nil
	}
	i := int(*n)
	return &i
}
