package simulator

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// defaultModel answers requests that name none, like the default of an account.
const defaultModel = "google/gemini-2.5-flash"

// chatRequest is the part of a chat request's body that the simulator reads.
type chatRequest struct {
	Model               string                     `json:"model"`
	Models              []string                   `json:"models"`
	Messages            []message                  `json:"messages"`
	Stream              bool                       `json:"stream"`
	MaxTokens           *int                       `json:"max_tokens"`
	MaxCompletionTokens *int                       `json:"max_completion_tokens"`
	Temperature         *float64                   `json:"temperature"`
	TopP                *float64                   `json:"top_p"`
	TopK                *int                       `json:"top_k"`
	FrequencyPenalty    any                        `json:"frequency_penalty"`
	PresencePenalty     any                        `json:"presence_penalty"`
	Stop                stopList                   `json:"stop"`
	Provider            map[string]json.RawMessage `json:"provider"`
	Reasoning           *reasoningOptions          `json:"reasoning"`
	ResponseFormat      *responseFormat            `json:"response_format"`
	Tools               []tool                     `json:"tools"`
	ServiceTier         string                     `json:"service_tier"`
	SessionID           string                     `json:"session_id"`
	User                string                     `json:"user"`
	Metadata            map[string]string          `json:"metadata"`
	Trace               map[string]json.RawMessage `json:"trace"`
	Preset              string                     `json:"preset"`

	keys []string // of the body, sorted
}

type message struct {
	Role       string  `json:"role"`
	Name       string  `json:"name"`
	ToolCallID string  `json:"tool_call_id"`
	Content    content `json:"content"`
}

// content is a message's text and how many other parts it has.
type content struct {
	text  string
	media int
}

// UnmarshalJSON takes a string, a list of parts, or null.
func (c *content) UnmarshalJSON(data []byte) error {
	if data[0] != '[' {
		return json.Unmarshal(data, &c.text)
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	var texts []string
	for _, p := range parts {
		if p.Type == "text" {
			texts = append(texts, p.Text)
		} else {
			c.media++
		}
	}
	c.text = strings.Join(texts, "\n")
	return nil
}

// stopList is the stop field: one string or several.
type stopList []string

// UnmarshalJSON takes a string, a list of strings, or null.
func (s *stopList) UnmarshalJSON(data []byte) error {
	if data[0] != '"' {
		return json.Unmarshal(data, (*[]string)(s))
	}
	*s = make(stopList, 1)
	return json.Unmarshal(data, &(*s)[0])
}

type reasoningOptions struct {
	Effort    string `json:"effort"`
	MaxTokens *int   `json:"max_tokens"`
	Enabled   *bool  `json:"enabled"`
	Exclude   bool   `json:"exclude"`
}

type responseFormat struct {
	Type string `json:"type"`
}

type tool struct {
	Function struct {
		Name string `json:"name"`
	} `json:"function"`
}

// decode reads a body and returns why OpenRouter would refuse it, nil if it would not.
func decode(body []byte) (chatRequest, *refused) {
	var asked chatRequest
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(body, &keys); err != nil {
		return asked, invalid("Invalid JSON in request body")
	}
	asked.keys = slices.Sorted(maps.Keys(keys))
	if err := json.Unmarshal(body, &asked); err != nil {
		var typed *json.UnmarshalTypeError
		if errors.As(err, &typed) && typed.Field != "" {
			return asked, invalid(fmt.Sprintf("%s: Invalid input: unexpected %s", typed.Field, typed.Value))
		}
		return asked, invalid("Invalid input: a field has the wrong type")
	}
	if problem := asked.problem(); problem != "" {
		return asked, invalid(problem)
	}
	return asked, nil
}

func invalid(text string) *refused {
	return &refused{http.StatusBadRequest, "invalid_request", text}
}

// problem names the first rule that a well-formed body breaks.
func (c chatRequest) problem() string {
	if len(c.Messages) == 0 {
		return `Input required: specify "prompt" or "messages"`
	}
	if len(c.Models) > maxModels {
		return tooManyModels
	}
	roles := []string{"system", "developer", "user", "assistant", "tool"}
	for i, m := range c.Messages {
		if !slices.Contains(roles, m.Role) {
			return fmt.Sprintf("messages.%d.role: Invalid option: expected one of %s", i, strings.Join(roles, ", "))
		}
	}
	if unknown := c.unknownProviderKeys(); len(unknown) > 0 {
		return "Unrecognized key(s) in object: '" + strings.Join(unknown, "', '") + "'"
	}
	return cmp.Or(c.outOfRange(), c.tooLong())
}

// outOfRange names the first parameter whose value is not allowed.
func (c chatRequest) outOfRange() string {
	switch {
	case c.Temperature != nil && (*c.Temperature < 0 || *c.Temperature > 2):
		return "temperature: Invalid input: expected a number from 0 to 2"
	case c.TopP != nil && (*c.TopP < 0 || *c.TopP > 1):
		return "top_p: Invalid input: expected a number from 0 to 1"
	case c.TopK != nil && *c.TopK < 0:
		return "top_k: Invalid input: expected a number from 0 on"
	case c.MaxTokens != nil && *c.MaxTokens < 1, c.MaxCompletionTokens != nil && *c.MaxCompletionTokens < 1:
		return "max_tokens: Invalid input: expected a number from 1 on"
	case len(c.Stop) > 4:
		return "stop: Too big: expected array to have <=4 items"
	case c.Reasoning != nil && c.Reasoning.Effort != "" && c.Reasoning.MaxTokens != nil:
		return `Only one of "reasoning.effort" and "reasoning.max_tokens" can be specified`
	}
	return ""
}

// unknownProviderKeys returns the keys of provider that its schema, which allows no others, does not have.
func (c chatRequest) unknownProviderKeys() []string {
	known := []string{
		"order", "only", "ignore", "allow_fallbacks", "require_parameters", "data_collection", "zdr",
		"enforce_distillable_text", "quantizations", "sort", "max_price", "preferred_max_latency",
		"preferred_min_throughput",
	}
	keys := slices.Sorted(maps.Keys(c.Provider))
	return slices.DeleteFunc(keys, func(key string) bool { return slices.Contains(known, key) })
}

// unsupported returns a parameter of the body that no Gemini endpoint has, if all parameters are required.
func (c chatRequest) unsupported() string {
	if string(c.Provider["require_parameters"]) != "true" {
		return ""
	}
	unsupported := []string{
		"top_k", "min_p", "top_a", "frequency_penalty", "presence_penalty", "repetition_penalty", "logit_bias",
		"logprobs", "top_logprobs", "parallel_tool_calls", "verbosity", "prediction", "max_completion_tokens",
	}
	for _, key := range c.keys {
		if slices.Contains(unsupported, key) {
			return key
		}
	}
	return ""
}

// candidates returns the models to try, in order, at least one.
func (c chatRequest) candidates() []string {
	var models []string
	for _, m := range append([]string{c.Model}, c.Models...) {
		if m != "" && !slices.Contains(models, m) {
			models = append(models, m)
		}
	}
	if len(models) == 0 {
		return []string{defaultModel}
	}
	return models
}

// prompt returns the text of the last user message.
func (c chatRequest) prompt() string {
	for _, m := range slices.Backward(c.Messages) {
		if m.Role == "user" {
			return m.Content.text
		}
	}
	return ""
}

// limit returns how many tokens may be generated; 0 is any number.
func (c chatRequest) limit() int {
	switch {
	case c.MaxTokens != nil:
		return *c.MaxTokens
	case c.MaxCompletionTokens != nil:
		return *c.MaxCompletionTokens
	}
	return 0
}

// wantsReasoning reports whether the request turns reasoning on; for Gemini 2.5 Flash it is off by default.
func (c chatRequest) wantsReasoning() bool {
	r := c.Reasoning
	return r != nil && (r.Enabled != nil && *r.Enabled || r.MaxTokens != nil && *r.MaxTokens > 0 || r.Effort != "" && r.Effort != "none")
}
