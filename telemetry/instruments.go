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
	models  *modelSet
	tenants *tenantSet
	cached  cachedLabels

	chatDuration   metric.Float64Histogram
	chatTokens     metric.Int64Histogram
	chatFirstChunk metric.Float64Histogram
	cost           metric.Float64Counter
	tokens         metric.Int64Counter

	httpDuration    metric.Float64Histogram
	processDuration metric.Float64Histogram
	queueWait       metric.Float64Histogram
	clientDuration  metric.Float64Histogram
	consumedCount   metric.Int64Counter
	sentCount       metric.Int64Counter

	requests       metric.Int64Counter
	calls          metric.Int64Counter
	keyCalls       metric.Int64Counter
	cacheLookups   metric.Int64Counter
	substituted    metric.Int64Counter
	inFlight       metric.Int64UpDownCounter
	slots          metric.Int64Gauge
	retries        metric.Int64Counter
	scheduled      metric.Int64Counter
	deadLetters    metric.Int64Counter
	claimsLost     metric.Int64Counter
	evicted        metric.Int64Counter
	resultsRefused metric.Int64Counter
	spansLost      metric.Int64Counter
	batches        metric.Int64Counter
	batchItems     metric.Int64Counter
	limitWaits     metric.Int64Counter
	limitWaited    metric.Float64Counter
	limitLost      metric.Int64Counter

	breaker       atomic.Pointer[func() BreakerState]
	memory        atomic.Pointer[func() (inHand, budget int64)]
	modelBreakers atomic.Pointer[func() map[string]BreakerState]
	keys          atomic.Pointer[func() map[string]int64]
	expiries      atomic.Pointer[func() map[string]time.Time]
	keyCredit     atomic.Pointer[func() (usd float64, limited bool)]
	queues        atomic.Pointer[func() QueueNumbers]
	budgets       atomic.Pointer[func() []BudgetNumbers]
}

func newInstruments(meter metric.Meter) (*Instruments, error) {
	b := &builder{meter: meter, known: map[string]definition{}}
	for _, d := range definitions() {
		b.known[d.name] = d
	}
	i := &Instruments{
		models:  newModelSet(),
		tenants: newTenantSet(),

		chatDuration:   b.seconds(metricChatDuration),
		chatTokens:     b.tokens(metricChatTokens),
		chatFirstChunk: b.seconds(metricChatFirstChunk),
		cost:           b.amount(metricCost),
		tokens:         b.counter(metricTokens),

		httpDuration:    b.seconds(metricHTTPDuration),
		processDuration: b.seconds(metricProcessDuration),
		queueWait:       b.seconds(metricQueueWait),
		clientDuration:  b.seconds(metricClientDuration),
		consumedCount:   b.counter(metricConsumed),
		sentCount:       b.counter(metricSent),

		requests:       b.counter(metricRequests),
		calls:          b.counter(metricCalls),
		keyCalls:       b.counter(metricKeyCalls),
		cacheLookups:   b.counter(metricCacheLookups),
		substituted:    b.counter(metricSubstituted),
		inFlight:       b.upDown(metricInFlight),
		slots:          b.gauge(metricSlots),
		retries:        b.counter(metricRetries),
		scheduled:      b.counter(metricScheduled),
		deadLetters:    b.counter(metricDeadLetters),
		claimsLost:     b.counter(metricClaimsLost),
		evicted:        b.counter(metricEvicted),
		resultsRefused: b.counter(metricResultsRefused),
		spansLost:      b.counter(metricSpansLost),
		batches:        b.counter(metricBatches),
		batchItems:     b.counter(metricBatchItems),
		limitWaits:     b.counter(metricLimitWaits),
		limitWaited:    b.amount(metricLimitWaited),
		limitLost:      b.counter(metricLimitLost),
	}
	b.observeBreaker(&i.breaker)
	b.observeMemory(&i.memory)
	b.observeModels(&i.modelBreakers, i.models.fold)
	b.observeKeys(&i.keys)
	b.observeExpiries(&i.expiries, i.models.fold)
	b.observeKeyCredit(&i.keyCredit)
	b.observeBudgets(&i.budgets)
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
	i.cacheLookups.Add(ctx, 0, metric.WithAttributes(labelOutcome.String(cacheHit)))
	i.cacheLookups.Add(ctx, 0, metric.WithAttributes(labelOutcome.String(cacheMiss)))
	i.lost(0, lostQueueFull)
	i.lost(0, lostExportFailed)
	i.beginBatches(ctx)
	i.beginLimits(ctx)
}

// cachedLabels are the labels of what is counted for every request.
type cachedLabels struct {
	settled cache[settledKey, labels]
	called  cache[calledKey, labels]
	keyed   cache[keyedKey, labels]
	charged cache[chargedKey, labels]
	used    cache[string, tokenLabels]
	looked  cache[string, labels]
	limited cache[string, labels]
	chatted cache[chatKey, chatLabels]
}

type (
	settledKey struct{ outcome, code, model, tenant string }
	calledKey  struct{ outcome, model, tenant string }
	keyedKey   struct{ key, outcome string }
	chargedKey struct{ model, tenant string }
)

// RequestSettled counts a delivery of a tenant by its outcome, whose text is the label.
// The code is empty unless the request failed or was rescheduled because of an error.
func (i *Instruments) RequestSettled(ctx context.Context, tenant string, outcome fmt.Stringer, code, model string) {
	key := settledKey{outcome.String(), code, i.models.fold(model), i.tenants.fold(tenant)}
	i.requests.Add(ctx, 1, i.cached.settled.get(key, settledKey.labels).add...)
}

func (k settledKey) labels() labels {
	attrs := append([]attribute.KeyValue{labelVerdict.String(k.outcome), labelTenant.String(k.tenant)}, optional(labelCode, k.code)...)
	return newLabels(append(attrs, optional(keyRequestModel, k.model)...)...)
}

// OutcomeSuccess is the outcome of a call that answered.
const OutcomeSuccess = "success"

// CallFinished counts one attempt to call OpenRouter for a tenant. The outcome is
// OutcomeSuccess or a failure of a small closed set.
func (i *Instruments) CallFinished(ctx context.Context, tenant, outcome, model string) {
	if outcome == OutcomeSuccess {
		i.models.answered(model)
	}
	key := calledKey{outcome, i.models.fold(model), i.tenants.fold(tenant)}
	i.calls.Add(ctx, 1, i.cached.called.get(key, calledKey.labels).add...)
}

func (k calledKey) labels() labels {
	return newLabels(append(optional(keyRequestModel, k.model), labelOutcome.String(k.outcome), labelTenant.String(k.tenant))...)
}

// KeyCalled counts one attempt by the API key that it was made with: its end, never the
// key.
func (i *Instruments) KeyCalled(ctx context.Context, keyEnd, outcome string) {
	i.keyCalls.Add(ctx, 1, i.cached.keyed.get(keyedKey{keyEnd, outcome}, keyedKey.labels).add...)
}

func (k keyedKey) labels() labels {
	return newLabels(labelKey.String("…"+k.key), labelOutcome.String(k.outcome))
}

// CacheLookedUp counts an answer to a call that asked OpenRouter's response cache.
func (i *Instruments) CacheLookedUp(ctx context.Context, hit bool) {
	outcome := cacheMiss
	if hit {
		outcome = cacheHit
	}
	i.cacheLookups.Add(ctx, 1, i.cached.looked.get(outcome, func(outcome string) labels {
		return newLabels(labelOutcome.String(outcome))
	}).add...)
}

// Substituted counts an answer of another model than the request asked for.
func (i *Instruments) Substituted(ctx context.Context, requested, served string) {
	i.models.answered(served)
	i.substituted.Add(ctx, 1, metric.WithAttributes(labelRequested.String(i.models.fold(requested)), labelServed.String(i.models.fold(served))))
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
