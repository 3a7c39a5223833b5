package openrouter

import (
	"encoding/json"
	"time"
)

// Completion is a finished answer.
type Completion struct {
	ID       string // of the generation, gen-…
	Model    string // the model that answered: a fallback or a dated name may differ from what was asked for
	Provider string // display name of the provider that ran it

	Content   string
	Reasoning string
	Refusal   string          // the model's refusal, where a provider separates it from the content
	ToolCalls json.RawMessage // OpenAI's list, assembled from its fragments; nil if there are none

	ServiceTier string // the price tier that answered: default, flex, priority; empty if the server did not say
	Cached      bool   // from OpenRouter's response cache: it cost nothing

	FinishReason       string    // stop, length, tool_calls, content_filter; empty if the server gave none before [DONE]
	NativeFinishReason string    // as the provider names it
	Usage              *Usage    // nil if it did not arrive
	FirstToken         time.Time // when tokens began to arrive; reasoning and tool calls count
}

// Usage is what a call consumed, in the model's own tokens.
type Usage struct {
	PromptTokens     int64
	CompletionTokens int64 // reasoning included
	TotalTokens      int64
	CachedTokens     *int64   // prompt tokens read from a cache
	ReasoningTokens  *int64   // completion tokens spent on reasoning
	AudioTokens      *int64   // prompt tokens that are audio
	Cost             *float64 // USD; 0 is a value, nil is unknown
	CostDetails      *CostDetails
}

// CostDetails are what OpenRouter paid upstream, in USD. nil is unknown.
type CostDetails struct {
	Upstream            *float64 `json:"upstream_inference_cost"`
	UpstreamPrompt      *float64 `json:"upstream_inference_prompt_cost"`
	UpstreamCompletions *float64 `json:"upstream_inference_completions_cost"`
}
