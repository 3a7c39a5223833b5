package config

import (
	"strings"
	"time"

	"gemini-client/events"
)

// Names returns the functions that make subjects and stream names.
func (q Queue) Names() events.Names {
	return events.Names{RequestQueue: q.RequestQueue, ResponseQueue: q.ResponseQueue, SubjectPrefix: q.SubjectPrefix, StreamPrefix: q.StreamPrefix}
}

// Callbacks are the values that a request's callback_queue may have.
func (q Queue) Callbacks() []string {
	if len(q.CallbackAllow) == 0 {
		return []string{q.ResponseQueue}
	}
	return q.CallbackAllow
}

// RetryDelay is the wait before a request is tried again for the n-th time,
// counting from 0; the last delay repeats.
func (q Queue) RetryDelay(n int) time.Duration {
	if len(q.RetryDelays) == 0 {
		return time.Minute
	}
	return time.Duration(q.RetryDelays[min(n, len(q.RetryDelays)-1)]) * time.Second
}

// LeastRecordAge is how long results and cancellations must be kept: twice the
// longest time that a request can wait between its retries.
func (q Queue) LeastRecordAge() time.Duration {
	var sum time.Duration
	for n := range q.MaxRetries {
		sum += q.RetryDelay(n)
	}
	return 2 * sum
}

// API returns the subject of a request to JetStream's API, such as
// CONSUMER.INFO.<stream>.<consumer>, under the prefix in force.
func (n NATS) API(question string) string {
	return strings.TrimSuffix(n.APIPrefix, ".") + "." + question
}

// DefaultModel is the model of a request that names none, in OpenRouter's full
// form.
func (o OpenRouter) DefaultModel() string { return events.ModelName(o.Model) }

// What OPENROUTER_FALLBACK_MODELS and MODEL_FALLBACK may say.
const (
	noFallback     = "none" // a blank variable counts as not set
	fallbackAlways = "always"
	fallbackNever  = "never"
)

// Fallbacks are the models that may answer instead of a request's own, in OpenRouter's
// full form, in the order in which they are asked. Nil if there are none.
func (o OpenRouter) Fallbacks() []string {
	var names []string
	for _, name := range o.FallbackModels {
		if name != noFallback {
			names = append(names, events.ModelName(name))
		}
	}
	return names
}

// FallbacksOf are the fallbacks of a request that names its model itself, or does not.
func (o OpenRouter) FallbacksOf(namesModel bool) []string {
	if namesModel && strings.EqualFold(o.ModelFallback, fallbackNever) {
		return nil
	}
	return o.Fallbacks()
}

// Cooldown is how long a key is not used after a 429 that names no time.
func (o OpenRouter) Cooldown() time.Duration {
	return time.Duration(o.KeysCooldownSeconds) * time.Second
}

// Rules are the decoder's rules under this configuration. maxBytes is the
// largest request body; 0 = no limit.
func (c *Config) Rules(maxBytes int) events.Rules {
	return events.Rules{
		DefaultModel: c.DefaultModel(), DefaultCallback: c.ResponseQueue,
		Callbacks: c.Callbacks(), Models: c.ModelsAllow, Plugins: c.PluginsAllow, Tiers: c.PriceTiersAllow, MaxBytes: maxBytes,
		BodiesBucket: c.Names().BodiesBucket(), Names: c.Names(),
	}
}
