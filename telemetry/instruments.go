package telemetry

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Instruments holds all our metrics. Its exported methods are for steps that
// have no span; the metrics of a span are recorded when it ends. Give them the
// context of the span they belong to.
type Instruments struct {
	models *modelSet

	chatDuration   metric.Float64Histogram
	chatTokens     metric.Int64Histogram
	chatFirstChunk metric.Float64Histogram
	cost           metric.Float64Counter

	processDuration metric.Float64Histogram
	clientDuration  metric.Float64Histogram
	consumedCount   metric.Int64Counter
	sentCount       metric.Int64Counter

	requests       metric.Int64Counter
	calls          metric.Int64Counter
	inFlight       metric.Int64UpDownCounter
	slots          metric.Int64Gauge
	retries        metric.Int64Counter
	scheduled      metric.Int64Counter
	deadLetters    metric.Int64Counter
	claimsLost     metric.Int64Counter
	evicted        metric.Int64Counter
	resultsRefused metric.Int64Counter
	spansLost      metric.Int64Counter

	breaker       atomic.Pointer[func() BreakerState]
	memory        atomic.Pointer[func() (inHand, budget int64)]
	modelBreakers atomic.Pointer[func() map[string]BreakerState]
	keys          atomic.Pointer[func() map[string]int64]
	queues        atomic.Pointer[func() QueueNumbers]
}

func newInstruments(meter metric.Meter) (*Instruments, error) {
	b := &builder{meter: meter, known: map[string]definition{}}
	for _, d := range definitions() {
		b.known[d.name] = d
	}
	i := &Instruments{
		models: newModelSet(),

		chatDuration:   b.seconds(metricChatDuration),
		chatTokens:     b.tokens(metricChatTokens),
		chatFirstChunk: b.seconds(metricChatFirstChunk),
		cost:           b.money(metricCost),

		processDuration: b.seconds(metricProcessDuration),
		clientDuration:  b.seconds(metricClientDuration),
		consumedCount:   b.counter(metricConsumed),
		sentCount:       b.counter(metricSent),

		requests:       b.counter(metricRequests),
		calls:          b.counter(metricCalls),
		inFlight:       b.upDown(metricInFlight),
		slots:          b.gauge(metricSlots),
		retries:        b.counter(metricRetries),
		scheduled:      b.counter(metricScheduled),
		deadLetters:    b.counter(metricDeadLetters),
		claimsLost:     b.counter(metricClaimsLost),
		evicted:        b.counter(metricEvicted),
		resultsRefused: b.counter(metricResultsRefused),
		spansLost:      b.counter(metricSpansLost),
	}
	b.observeBreaker(&i.breaker)
	b.observeMemory(&i.memory)
	b.observeModels(&i.modelBreakers, i.models.fold)
	b.observeKeys(&i.keys)
	b.observeQueues(&i.queues)
	i.begin(context.Background())
	return i, errors.Join(b.errs...)
}

// begin reports 0 for series whose label values are all known. Without it
// dashboards say "no data", and rate() misses the first increase.
func (i *Instruments) begin(ctx context.Context) {
	i.inFlight.Add(ctx, 0)
	i.claimsLost.Add(ctx, 0)
	i.resultsRefused.Add(ctx, 0)
	i.evicted.Add(ctx, 0)
	i.lost(0, lostQueueFull)
	i.lost(0, lostExportFailed)
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

// DeadLettersEvicted counts dead letters that went for want of room.
func (i *Instruments) DeadLettersEvicted(ctx context.Context, n int64) {
	i.evicted.Add(ctx, n)
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
