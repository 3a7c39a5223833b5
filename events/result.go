package events

import (
	"encoding/json"
	"fmt"
	"time"
)

// Status says in a result's body how the request ended.
type Status string

// The two ways a request ends.
const (
	StatusSuccess Status = "success"
	StatusError   Status = "error"
)

// Result is a result event. Its JSON always has every field; a nil pointer or
// nil raw value is null there. The exceptions are ServiceTier, CostDetails, Cached
// and AudioTokens of Usage, which came later: they are absent where OpenRouter did
// not tell them, so that readers of old see what they saw. So is ResultRef. Start one with
// Request.Completed or Request.Failed.
type Result struct {
	// RequestID is the request's id, spelt as it was sent.
	RequestID string `json:"request_id"`
	// Status tells a completed result from a failed one.
	Status Status `json:"status"`
	// Content is the answer; nil in a failed result, when the model only called tools,
	// and beside ResultRef.
	Content *string `json:"content"`
	// Error is a sentence for people; nil in a completed result.
	Error *string `json:"error"`
	// Usage counts tokens of all calls for the request, over attempts and
	// deliveries; in a failed result, those of calls that were billed.
	Usage *Usage `json:"usage"`
	// Timestamp is when the result was made. It is written in UTC with microseconds.
	Timestamp time.Time `json:"timestamp"`
	// ProcessingTimeMS runs from taking the delivery to publishing its result.
	ProcessingTimeMS *float64 `json:"processing_time_ms"`
	// ModelUsed is the model that answered, as OpenRouter names it.
	ModelUsed *string `json:"model_used"`
	// ModelRequested is the model that the request asked for, if another one answered;
	// else empty. It is not in the body but in the header HeaderModelRequested.
	ModelRequested string `json:"-"`
	// Tenant is whose request it was: see Request.Tenant. It is not in the body but in the
	// header HeaderTenant.
	Tenant string `json:"-"`
	// Key is the end of the API key that paid: see Bill. It is not in the body but in the
	// header HeaderKey, and empty if no call was made.
	Key string `json:"-"`
	// Metadata is the request's, byte for byte; nil in a result that
	// WithoutUnpaidMetadata has made smaller.
	Metadata json.RawMessage `json:"metadata"`
	// FinishReason is why the model stopped, such as stop or length.
	FinishReason *string `json:"finish_reason"`
	// Provider is the provider that ran the model.
	Provider *string `json:"provider"`
	// GenerationID is OpenRouter's id of the call.
	GenerationID *string `json:"generation_id"`
	// Cost is that of all calls for the request, over attempts and deliveries, in US
	// dollars. 0 is a cost, nil is an unknown one.
	Cost *float64 `json:"cost"`
	// CostDetails are the parts of Cost, of all calls for the request as well.
	CostDetails *CostDetails `json:"cost_details,omitempty"`
	// ServiceTier is the price tier that answered: default, flex, priority, batch.
	ServiceTier *string `json:"service_tier,omitempty"`
	// Cached says that the answer came from OpenRouter's response cache, for nothing.
	Cached bool `json:"cached,omitempty"`
	// ToolCalls is the list of the model's tool calls.
	ToolCalls json.RawMessage `json:"tool_calls"`
	// Reasoning is the model's reasoning, if the request asked for it.
	Reasoning *string `json:"reasoning"`
	// Attempts counts the calls made in this delivery.
	Attempts int `json:"attempts"`
	// RetryCount is how often the request was rescheduled after a call.
	RetryCount int `json:"retry_count"`
	// ErrorCode is Error for machines; nil in a completed result.
	ErrorCode *Code `json:"error_code"`
	// Retryable is Code.Retryable of ErrorCode; nil in a completed result.
	Retryable *bool `json:"retryable"`
	// ResultRef names the object that holds this result whole, where it is too large for a
	// message. Content is nil then, and so is whatever else had no room. Nil if the event
	// is all there is.
	ResultRef *BodyRef `json:"result_ref,omitempty"`
}

// Usage counts tokens.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
	// CachedTokens are the prompt tokens read from a cache; nil if unknown.
	CachedTokens *int `json:"cached_tokens"`
	// ReasoningTokens are the completion tokens spent on reasoning; nil if unknown.
	ReasoningTokens *int `json:"reasoning_tokens"`
	// AudioTokens are the prompt tokens that are audio; nil if unknown.
	AudioTokens *int `json:"audio_tokens,omitempty"`
}

// CostDetails are what OpenRouter says it paid upstream, in US dollars. What it does
// not say is nil.
type CostDetails struct {
	Upstream            *float64 `json:"upstream_inference_cost"`
	UpstreamPrompt      *float64 `json:"upstream_inference_prompt_cost"`
	UpstreamCompletions *float64 `json:"upstream_inference_completions_cost"`
}

// Completed starts the completed result of a request. The caller fills in
// what the call returned.
func (r Request) Completed(content string, at time.Time) Result {
	return Result{
		RequestID:  r.ID,
		Status:     StatusSuccess,
		Tenant:     r.Tenant,
		Content:    &content,
		Timestamp:  at,
		Metadata:   r.Metadata,
		RetryCount: r.RetryCount,
	}
}

// Failed starts the failed result of a request. It works for the Request that
// Rules.Decode returns beside a Failure as well.
func (r Request) Failed(failure Failure, at time.Time) Result {
	retryable := failure.Code.Retryable()
	return Result{
		RequestID:  r.ID,
		Status:     StatusError,
		Tenant:     r.Tenant,
		Error:      &failure.Message,
		Timestamp:  at,
		Metadata:   r.Metadata,
		RetryCount: r.RetryCount,
		ErrorCode:  &failure.Code,
		Retryable:  &retryable,
	}
}

// UnpaidMetadataMax is how many bytes of metadata a failed result returns if no
// call was billed: an invalid request must not store its own size for nothing.
const UnpaidMetadataMax = 64 << 10

// WithoutUnpaidMetadata returns the result as it may be stored: without the
// metadata, and with a sentence about it, if it failed, nothing was billed and the
// metadata is larger than UnpaidMetadataMax.
func (r Result) WithoutUnpaidMetadata() Result {
	if r.Status != StatusError || r.Usage != nil || r.Cost != nil || len(r.Metadata) <= UnpaidMetadataMax {
		return r
	}
	text := fmt.Sprintf("The metadata has %d bytes and is not returned: with a failure that was not billed at most %d are.", len(r.Metadata), UnpaidMetadataMax)
	if r.Error != nil {
		text = *r.Error + " " + text
	}
	r.Metadata, r.Error = nil, &text
	return r
}

// Subject is where the result is published, for the callback of its request.
func (r Result) Subject(callback string) string {
	if r.Status == StatusSuccess {
		return Completed(callback, r.RequestID)
	}
	return Failed(callback, r.RequestID)
}
