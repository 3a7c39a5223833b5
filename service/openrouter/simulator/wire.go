package simulator

import "encoding/json"

// The types below have the fields, and the order of fields, of recorded answers.

// chunk is one event of a stream.
type chunk struct {
	ID       string         `json:"id"`
	Object   string         `json:"object"`
	Created  int64          `json:"created"`
	Model    string         `json:"model"`
	Provider string         `json:"provider"`
	Tier     string         `json:"service_tier,omitempty"`
	Error    *apiError      `json:"error,omitempty"`
	Choices  []streamChoice `json:"choices"`
	Usage    *usage         `json:"usage,omitempty"`
}

type streamChoice struct {
	Index        int       `json:"index"`
	Delta        delta     `json:"delta"`
	FinishReason *string   `json:"finish_reason"`
	NativeReason *string   `json:"native_finish_reason"`
	Error        *apiError `json:"error,omitempty"`
}

// delta is what a chunk adds. A nil Content is null; Reasoning is absent, null or a string.
type delta struct {
	Content          *string           `json:"content"`
	Role             string            `json:"role,omitempty"`
	Reasoning        json.RawMessage   `json:"reasoning,omitempty"`
	ReasoningDetails []reasoningDetail `json:"reasoning_details,omitempty"`
	ToolCalls        []toolFragment    `json:"tool_calls,omitempty"`
}

type reasoningDetail struct {
	Type   string `json:"type"`
	Text   string `json:"text"`
	Format string `json:"format"`
	Index  int    `json:"index"`
}

// toolCall is a call in a whole answer.
type toolCall struct {
	Type     string       `json:"type"`
	Index    int          `json:"index"`
	ID       string       `json:"id"`
	Function toolFunction `json:"function"`
}

type toolFunction struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

// toolFragment is a piece of a call in a stream; only the first has id, type and name.
type toolFragment struct {
	Index    int          `json:"index"`
	ID       string       `json:"id,omitempty"`
	Type     string       `json:"type,omitempty"`
	Function toolFunction `json:"function"`
}

// completion is the body of an answer that is not streamed.
type completion struct {
	ID                string        `json:"id"`
	Object            string        `json:"object"`
	Created           int64         `json:"created"`
	Model             string        `json:"model"`
	Provider          string        `json:"provider"`
	SystemFingerprint *string       `json:"system_fingerprint"`
	Tier              string        `json:"service_tier,omitempty"`
	Choices           []wholeChoice `json:"choices"`
	Usage             *usage        `json:"usage,omitempty"`
}

type wholeChoice struct {
	Index        int          `json:"index"`
	Logprobs     any          `json:"logprobs"`
	FinishReason *string      `json:"finish_reason"`
	NativeReason *string      `json:"native_finish_reason"`
	Message      wholeMessage `json:"message"`
	Error        *apiError    `json:"error,omitempty"`
}

type wholeMessage struct {
	Role             string            `json:"role"`
	Content          *string           `json:"content"`
	Refusal          *string           `json:"refusal"`
	Reasoning        *string           `json:"reasoning"`
	ToolCalls        []toolCall        `json:"tool_calls,omitempty"`
	ReasoningDetails []reasoningDetail `json:"reasoning_details,omitempty"`
}

// usage is the accounting of an answer.
type usage struct {
	PromptTokens     int               `json:"prompt_tokens"`
	CompletionTokens int               `json:"completion_tokens"`
	TotalTokens      int               `json:"total_tokens"`
	Cost             float64           `json:"cost"`
	IsBYOK           bool              `json:"is_byok"`
	PromptDetails    promptDetails     `json:"prompt_tokens_details"`
	CostDetails      costDetails       `json:"cost_details"`
	Completion       completionDetails `json:"completion_tokens_details"`
}

type promptDetails struct {
	CachedTokens     int `json:"cached_tokens"`
	CacheWriteTokens int `json:"cache_write_tokens"`
	AudioTokens      int `json:"audio_tokens"`
	VideoTokens      int `json:"video_tokens"`
}

type costDetails struct {
	Upstream            float64 `json:"upstream_inference_cost"`
	UpstreamPrompt      float64 `json:"upstream_inference_prompt_cost"`
	UpstreamCompletions float64 `json:"upstream_inference_completions_cost"`
}

type completionDetails struct {
	ReasoningTokens int `json:"reasoning_tokens"`
	ImageTokens     int `json:"image_tokens"`
	AudioTokens     int `json:"audio_tokens"`
}

// reason is a finish reason on the wire: null if it is blank.
func reason(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// usage returns the accounting of a generation.
func (g *generation) usage() *usage {
	if g.hit {
		return &usage{}
	}
	prompt, completion := g.cost()
	total := inDollars((prompt + completion) * 1e6)
	return &usage{
		PromptTokens:     g.prompt,
		CompletionTokens: g.completion(),
		TotalTokens:      g.prompt + g.completion(),
		Cost:             total,
		PromptDetails:    promptDetails{CachedTokens: g.cached},
		CostDetails:      costDetails{Upstream: total, UpstreamPrompt: prompt, UpstreamCompletions: completion},
		Completion:       completionDetails{ReasoningTokens: tokens(g.reasoning)},
	}
}
