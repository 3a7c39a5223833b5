package upstream

import (
	"encoding/json"
	"errors"
	"net/url"
	"strconv"

	"gemini-client/events"
	"gemini-client/service/openrouter"
	"gemini-client/telemetry"
)

// chatInfo is what the span of a call begins with. Stop sequences are not among it:
// they are the requester's text. What is asked is recorded on demand only.
func (u *Caller) chatInfo(request *events.Request, r openrouter.Request) telemetry.ChatInfo {
	return telemetry.ChatInfo{
		Model: r.Model, Tenant: request.Tenant, Temperature: r.Temperature, TopP: r.TopP, TopK: r.TopK, MaxTokens: r.MaxTokens,
		Seed: extraField[int64](r, "seed"), Frequency: extraField[float64](r, "frequency_penalty"), Presence: extraField[float64](r, "presence_penalty"),
		OutputType: outputType(r), Stream: true, ServerAddress: u.endpoint.Hostname(), ServerPort: port(u.endpoint),
		Instruction: request.SystemInstruction, Prompt: request.Prompt, Messages: request.Messages,
	}
}

// port is a URL's own, or its scheme's.
func port(u *url.URL) int {
	if port, err := strconv.Atoi(u.Port()); err == nil {
		return port
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

// extraField reads one of the fields that are passed on unseen; nil if it is
// not there, or not what OpenRouter expects.
func extraField[T any](r openrouter.Request, name string) *T {
	raw, given := r.Extra[name]
	if !given {
		return nil
	}
	var value *T
	if json.Unmarshal(raw, &value) != nil {
		return nil
	}
	return value
}

// outputType is the kind of answer that is asked for, as the conventions name
// it; empty if none is.
func outputType(r openrouter.Request) string {
	format := extraField[struct {
		Type string `json:"type"`
	}](r, "response_format")
	switch {
	case format == nil:
		return ""
	case format.Type == "json_object", format.Type == "json_schema":
		return "json"
	case format.Type == "text":
		return "text"
	}
	return ""
}

// chatResult is what the span of a call ends with. The answer is recorded on demand
// only.
func chatResult(c *call, re Reply) telemetry.ChatResult {
	u := re.Usage
	r := telemetry.ChatResult{FirstChunk: c.firstToken, ResponseID: u.GenerationID, Provider: u.Provider, FinishReason: u.FinishReason, Cost: u.Cost, ServiceTier: u.ServiceTier}
	if t := u.Usage; t != nil {
		r.InputTokens, r.OutputTokens = wide(&t.PromptTokens), wide(&t.CompletionTokens)
		r.CachedTokens, r.ReasoningTokens = wide(t.CachedTokens), wide(t.ReasoningTokens)
	}
	if re.Err != nil {
		r.ErrorType, r.Err = re.Err.outcome(), errors.New(re.Err.Message)
		return r
	}
	if c.cacheOn() {
		r.CacheHit = &u.Cached
	}
	a := re.Answer
	r.Model, r.Content, r.Refusal, r.Reasoning, r.ToolCalls = a.Model, a.Content, a.Refusal, a.Reasoning, a.ToolCalls
	return r
}

func wide(n *int) *int64 {
	if n == nil {
		return nil
	}
	return new(int64(*n))
}
