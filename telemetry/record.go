package telemetry

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// BreakerState is the state of the circuit breaker.
type BreakerState int64

// The states of the circuit breaker, as the metric counts them.
const (
	BreakerClosed BreakerState = iota
	BreakerHalfOpen
	BreakerOpen
)

// String is the state's name for people.
func (s BreakerState) String() string {
	return [...]string{"closed", "half-open", "open"}[s]
}

// RequestSettled counts a delivery by its outcome, whose text is the label. The
// code is empty unless the request failed or was rescheduled because of an error.
func (i *Instruments) RequestSettled(ctx context.Context, outcome fmt.Stringer, code, model string) {
	i.requests.Add(ctx, 1, metric.WithAttributes(requestLabels(outcome, code, i.models.fold(model))...))
}

func requestLabels(outcome fmt.Stringer, code, model string) []attribute.KeyValue {
	labels := append([]attribute.KeyValue{labelVerdict.String(outcome.String())}, optional(labelCode, code)...)
	return append(labels, optional(keyRequestModel, model)...)
}

// OutcomeSuccess is the outcome of a call that answered.
const OutcomeSuccess = "success"

// CallFinished counts one attempt to call OpenRouter. The outcome is
// OutcomeSuccess or a failure of a small closed set.
func (i *Instruments) CallFinished(ctx context.Context, outcome, model string) {
	if outcome == OutcomeSuccess {
		i.models.answered(model)
	}
	labels := []attribute.KeyValue{labelOutcome.String(outcome)}
	labels = append(labels, optional(keyRequestModel, i.models.fold(model))...)
	i.calls.Add(ctx, 1, metric.WithAttributes(labels...))
}

// Charged adds what an attempt cost, in USD.
func (i *Instruments) Charged(ctx context.Context, model string, cost float64) {
	if cost >= 0 { // a counter can only grow
		i.cost.Add(ctx, cost, metric.WithAttributes(optional(keyRequestModel, i.models.fold(model))...))
	}
}

// CallRetried counts an attempt that is about to be repeated, and adds an event to
// the span in ctx: the number of the attempt that failed, why, and the wait.
func (i *Instruments) CallRetried(ctx context.Context, attempt int, reason string, wait time.Duration) {
	i.retries.Add(ctx, 1, metric.WithAttributes(labelReason.String(reason)))
	trace.SpanFromContext(ctx).AddEvent(eventRetry, trace.WithAttributes(
		keyRetryAttempt.Int(attempt), keyRetryReason.String(reason), keyRetryWait.Float64(wait.Seconds())))
}

// RequestScheduled counts a request that was rescheduled, by the reason.
func (i *Instruments) RequestScheduled(ctx context.Context, reason string) {
	i.scheduled.Add(ctx, 1, metric.WithAttributes(labelReason.String(reason)))
}

// DeadLettered counts a dead letter that was written, by its failure code.
func (i *Instruments) DeadLettered(ctx context.Context, code string) {
	i.deadLetters.Add(ctx, 1, metric.WithAttributes(labelCode.String(code)))
}

// DeclareModels names the models of the settings, so that they have a label of
// their own whatever models requesters name.
func (i *Instruments) DeclareModels(models ...string) {
	for _, model := range models {
		i.models.answered(model)
	}
}

// DeclareFailures makes the count of requests with a failed outcome begin with 0
// for a model and each code that there can be, so that the first one shows as an
// increase.
func (i *Instruments) DeclareFailures(ctx context.Context, failed fmt.Stringer, model string, codes ...string) {
	for _, code := range codes {
		i.requests.Add(ctx, 0, metric.WithAttributes(requestLabels(failed, code, i.models.fold(model))...))
	}
}

// DeclareReasons does the same for repeated calls and requests rescheduled.
func (i *Instruments) DeclareReasons(ctx context.Context, codes ...string) {
	for _, code := range codes {
		i.retries.Add(ctx, 0, metric.WithAttributes(labelReason.String(code)))
		i.scheduled.Add(ctx, 0, metric.WithAttributes(labelReason.String(code)))
	}
}

// DeclareDeadLetters does the same for dead letters.
func (i *Instruments) DeclareDeadLetters(ctx context.Context, codes ...string) {
	for _, code := range codes {
		i.deadLetters.Add(ctx, 0, metric.WithAttributes(labelCode.String(code)))
	}
}

// lost counts spans that no collector receives.
func (i *Instruments) lost(n int, reason string) {
	i.spansLost.Add(context.Background(), int64(n), metric.WithAttributes(labelReason.String(reason)))
}

// InFlight adds delta to the number of requests in flight.
func (i *Instruments) InFlight(ctx context.Context, delta int64) {
	i.inFlight.Add(ctx, delta)
}

// SetSlots sets how many requests may be in flight at the same time.
func (i *Instruments) SetSlots(ctx context.Context, n int) {
	i.slots.Record(ctx, int64(n))
}

// ClaimLost counts a claim that another worker took over.
func (i *Instruments) ClaimLost(ctx context.Context) {
	i.claimsLost.Add(ctx, 1)
}

// ResultRefused counts a result the server refused because there was one.
func (i *Instruments) ResultRefused(ctx context.Context) {
	i.resultsRefused.Add(ctx, 1)
}

// ObserveBreaker sets the source of the circuit breaker's state. It is called at
// each scrape, possibly concurrently, and must answer from memory.
func (i *Instruments) ObserveBreaker(source func() BreakerState) {
	i.breaker.Store(&source)
}

// ObserveKeys sets the source of the number of keys by state. It is called at
// each scrape, possibly concurrently, and must answer from memory.
func (i *Instruments) ObserveKeys(source func() map[string]int64) {
	i.keys.Store(&source)
}

// QueueNumbers is how full the queues are. What is not known is left out.
type QueueNumbers struct {
	Messages []QueueMessages
	Oldest   []QueueAge
}

// QueueMessages is how many messages of a queue are in a state.
type QueueMessages struct {
	Queue string // its subject
	State string // of a small closed set
	Count int64
}

// QueueAge is how long the oldest message of a queue has been waiting.
type QueueAge struct {
	Queue string // its subject
	Age   time.Duration
}

// ObserveQueues sets the source of the queues' numbers. It is called at each
// scrape, possibly concurrently, and must answer from memory.
func (i *Instruments) ObserveQueues(source func() QueueNumbers) {
	i.queues.Store(&source)
}

func (i *Instruments) chatted(ctx context.Context, c ChatInfo, r ChatResult, took time.Duration) {
	c.Model = i.models.fold(c.Model)
	labels := append(c.identity(), c.server()...)
	if r.Model != "" {
		i.models.answered(r.Model)
		labels = append(labels, keyResponseModel.String(i.models.fold(r.Model)))
	}
	i.chatDuration.Record(ctx, took.Seconds(), metric.WithAttributes(withError(labels, r.ErrorType)...))
	if r.FirstChunk > 0 {
		i.chatFirstChunk.Record(ctx, r.FirstChunk.Seconds(), metric.WithAttributes(labels...))
	}
	i.usedTokens(ctx, labels, typeInput, r.InputTokens)
	i.usedTokens(ctx, labels, typeOutput, r.OutputTokens)
}

func (i *Instruments) usedTokens(ctx context.Context, labels []attribute.KeyValue, kind string, n *int64) {
	if n != nil {
		i.chatTokens.Record(ctx, *n, metric.WithAttributes(labels...), metric.WithAttributes(keyTokenType.String(kind)))
	}
}

func (i *Instruments) consumed(ctx context.Context, labels []attribute.KeyValue) {
	i.consumedCount.Add(ctx, 1, metric.WithAttributes(labels...))
}

func (i *Instruments) processed(ctx context.Context, took time.Duration, labels []attribute.KeyValue) {
	i.processDuration.Record(ctx, took.Seconds(), metric.WithAttributes(labels...))
}

func (i *Instruments) sent(ctx context.Context, labels []attribute.KeyValue) {
	i.sentCount.Add(ctx, 1, metric.WithAttributes(labels...))
}

// operated records a message sent or settled.
func (i *Instruments) operated(ctx context.Context, took time.Duration, labels []attribute.KeyValue) {
	i.clientDuration.Record(ctx, took.Seconds(), metric.WithAttributes(labels...))
}

// optional returns a label only if it has a value.
func optional(key attribute.Key, value string) []attribute.KeyValue {
	if value == "" {
		return nil
	}
	return []attribute.KeyValue{key.String(value)}
}
