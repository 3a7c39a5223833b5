package telemetry

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
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
	claimsLost     metric.Int64Counter
	resultsRefused metric.Int64Counter
	breaker        metric.Int64Gauge

	keys    atomic.Pointer[func() map[string]int64]
	pending atomic.Pointer[func() map[string]int64]
}

func newInstruments(meter metric.Meter) (*Instruments, error) {
	b := &builder{meter: meter}
	chat, messages := chatBuckets(), messagingBuckets()
	i := &Instruments{
		models: newModelSet(),

		chatDuration:   b.seconds(metricChatDuration, "GenAI operation duration.", chat),
		chatTokens:     b.tokens(metricChatTokens, "Number of input and output tokens used."),
		chatFirstChunk: b.seconds(metricChatFirstChunk, "Time to receive the first chunk, measured from when the client issues the generation request to when the first chunk is received in the response stream.", chat),
		cost:           b.money(metricCost, "What OpenRouter charged."),

		processDuration: b.seconds(metricProcessDuration, "Duration of processing operation.", append(chatBuckets(), 163.84, 327.68)),
		clientDuration:  b.seconds(metricClientDuration, "Duration of messaging operation initiated by a producer or consumer client.", messages),
		consumedCount:   b.counter(metricConsumed, "{message}", "Number of messages that were delivered to the application."),
		sentCount:       b.counter(metricSent, "{message}", "Number of messages producer attempted to send to the broker."),

		requests:       b.counter(metricRequests, "{request}", "Deliveries that were settled, by verdict."),
		calls:          b.counter(metricCalls, "{call}", "Attempts to call OpenRouter, by outcome."),
		inFlight:       b.upDown(metricInFlight, "{request}", "Requests being worked on."),
		slots:          b.gauge(metricSlots, "{slot}", "Requests this process may work on at the same time."),
		retries:        b.counter(metricRetries, "{retry}", "Attempts repeated at once, by the reason."),
		scheduled:      b.counter(metricScheduled, "{request}", "Requests put off for later, by the reason."),
		claimsLost:     b.counter(metricClaimsLost, "{claim}", "Claims on requests that another worker took over."),
		resultsRefused: b.counter(metricResultsRefused, "{result}", "Results the server refused because there was one already."),
		breaker:        b.gauge(metricBreakerState, "", "Circuit breaker: 0 closed, 1 half-open, 2 open."),
	}
	b.observe(metricKeys, "{key}", "API keys, by state.", labelState, &i.keys)
	b.observe(metricQueuePending, "{message}", "Messages waiting in a queue.", labelQueue, &i.pending)
	return i, errors.Join(b.errs...)
}

// chatBuckets are the bounds the GenAI conventions want, in seconds.
func chatBuckets() []float64 {
	return []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
}

// tokenBuckets are the bounds the GenAI conventions want: powers of four.
func tokenBuckets() []float64 {
	bounds := make([]float64, 14)
	for i := range bounds {
		bounds[i] = float64(int64(1) << (2 * i))
	}
	return bounds
}

// messagingBuckets are the bounds the messaging conventions want, in seconds.
// Processing has those of a model call instead, and longer ones.
func messagingBuckets() []float64 {
	return []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
}

// builder creates instruments and keeps the errors for the end.
type builder struct {
	meter metric.Meter
	errs  []error
}

func (b *builder) keep(name string, err error) {
	if err != nil {
		b.errs = append(b.errs, fmt.Errorf("create instrument %s: %w", name, err))
	}
}

func (b *builder) seconds(name, description string, bounds []float64) metric.Float64Histogram {
	h, err := b.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
	b.keep(name, err)
	return h
}

func (b *builder) tokens(name, description string) metric.Int64Histogram {
	h, err := b.meter.Int64Histogram(name, metric.WithUnit("{token}"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(tokenBuckets()...))
	b.keep(name, err)
	return h
}

func (b *builder) money(name, description string) metric.Float64Counter {
	c, err := b.meter.Float64Counter(name, metric.WithUnit("{USD}"), metric.WithDescription(description))
	b.keep(name, err)
	return c
}

func (b *builder) counter(name, unit, description string) metric.Int64Counter {
	c, err := b.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	b.keep(name, err)
	return c
}

func (b *builder) upDown(name, unit, description string) metric.Int64UpDownCounter {
	c, err := b.meter.Int64UpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	b.keep(name, err)
	return c
}

func (b *builder) gauge(name, unit, description string) metric.Int64Gauge {
	g, err := b.meter.Int64Gauge(name, metric.WithUnit(unit), metric.WithDescription(description))
	b.keep(name, err)
	return g
}

// observe creates a gauge that asks source, once there is one, at each scrape.
func (b *builder) observe(name, unit, description string, label attribute.Key, source *atomic.Pointer[func() map[string]int64]) {
	_, err := b.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			if ask := source.Load(); ask != nil {
				for value, n := range (*ask)() {
					o.Observe(n, metric.WithAttributes(label.String(value)))
				}
			}
			return nil
		}))
	b.keep(name, err)
}
