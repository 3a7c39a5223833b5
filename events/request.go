package events

import (
	"encoding/json"
	"time"
)

// The values a request's parameters have unless it says otherwise.
const (
	DefaultTemperature     = 0.7
	DefaultTopP            = 0.95
	DefaultTopK            = 40
	DefaultMaxOutputTokens = 8192
	DefaultCandidateCount  = 1
)

// Request is a request event, decoded and checked by Rules.Decode. Its raw
// fields are parts of the body it was decoded from, not copies, so that body
// must not be changed afterwards.
//
// The other way round, json.Marshal of a Request is a valid body: fields that
// are empty are left out or null, and get their defaults when decoded.
type Request struct {
	// ID is the request's UUID, spelt as it was sent.
	ID string `json:"request_id"`
	// Tenant is whose request it is, and Lane how it came. The subject says so, never the
	// body; Decode leaves them empty.
	Tenant string `json:"-"`
	Lane   Lane   `json:"-"`
	// Prompt is the user message. Empty if Messages or BodyRef is set instead.
	Prompt string `json:"prompt,omitempty"`
	// Messages is OpenRouter's message list, as it was sent: not empty, every
	// entry an object with a string role. Nil if Prompt or BodyRef is set instead.
	Messages json.RawMessage `json:"messages,omitempty"`
	// Model is OpenRouter's full name of the model, such as google/gemini-2.5-flash.
	Model string `json:"model,omitempty"`
	// NamesModel says that the request named its model itself. False if Model is the
	// default of the service.
	NamesModel bool `json:"-"`
	// Parameters are the generation parameters.
	Parameters Parameters `json:"parameters,omitzero"`
	// SystemInstruction is sent first. Empty if there is none.
	SystemInstruction string `json:"system_instruction,omitempty"`
	// CallbackQueue is the prefix of the result's subject.
	CallbackQueue string `json:"callback_queue,omitempty"`
	// Timestamp is when the request was made, in UTC.
	Timestamp time.Time `json:"timestamp,omitzero"`
	// RetryCount is how often the request had been rescheduled when it was sent.
	RetryCount int `json:"retry_count"`
	// Metadata is an object returned with the result byte for byte (see
	// UnpaidMetadataMax). Nil if there is none.
	Metadata json.RawMessage `json:"metadata,omitempty"`
	// Stream asks for deltas while the answer is being written.
	Stream bool `json:"stream"`
	// Deadline ends the request, in UTC. Zero if it has none. It may have passed.
	Deadline time.Time `json:"deadline,omitzero"`
	// Tier is TierBatch if the request may wait for OpenRouter's Batch API, else "".
	Tier string `json:"tier,omitempty"`
	// TierFallback lets what the Batch API does not take be answered in the ordinary
	// way, at the ordinary price; else it fails. It is false where Tier is "".
	TierFallback bool `json:"tier_fallback"`
	// OpenRouter holds further fields for OpenRouter's request body, as they
	// were sent, but for bare Gemini names in its models, which are completed.
	OpenRouter map[string]json.RawMessage `json:"openrouter,omitempty"`
	// ServiceTierFallback lets the default tier answer where flex has no capacity.
	ServiceTierFallback bool `json:"service_tier_fallback,omitempty"`
	// CacheTTL is for how many seconds OpenRouter's response cache may keep the
	// answer; 0 turns the cache off, nil leaves it to the service (OPENROUTER_CACHE).
	CacheTTL *int `json:"cache_ttl,omitempty"`
	// BodyRef names the object that holds Prompt or Messages, where they are too large
	// for a message. Nil if the event holds them. See WithBody.
	BodyRef *BodyRef `json:"body_ref,omitempty"`
}

// Parameters are a request's generation parameters. Start from
// DefaultParameters: the zero value is not valid.
type Parameters struct {
	// Temperature is 0 to 2.
	Temperature float64 `json:"temperature"`
	// TopP is 0 to 1.
	TopP float64 `json:"top_p"`
	// TopK is 1 to 100.
	TopK int `json:"top_k"`
	// MaxOutputTokens is 1 to 32768.
	MaxOutputTokens int `json:"max_output_tokens"`
	// CandidateCount is 1 to 8. One answer is returned whatever it says.
	CandidateCount int `json:"candidate_count"`
	// StopSequences end the answer. Nil if there are none.
	StopSequences []string `json:"stop_sequences"`
}

// DefaultParameters returns the parameters of a request that names none.
func DefaultParameters() Parameters {
	return Parameters{
		Temperature:     DefaultTemperature,
		TopP:            DefaultTopP,
		TopK:            DefaultTopK,
		MaxOutputTokens: DefaultMaxOutputTokens,
		CandidateCount:  DefaultCandidateCount,
	}
}
