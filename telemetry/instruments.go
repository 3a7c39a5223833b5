package telemetry

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

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
	deadLetters    metric.Int64Counter
	claimsLost     metric.Int64Counter
	resultsRefused metric.Int64Counter
	spansLost      metric.Int64Counter

	breaker atomic.Pointer[func() BreakerState]
	keys    atomic.Pointer[func() map[string]int64]
	queues  atomic.Pointer[func() QueueNumbers]
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
		resultsRefused: b.counter(metricResultsRefused),
		spansLost:      b.counter(metricSpansLost),
	}
	b.observeBreaker(&i.breaker)
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
	i.lost(0, lostQueueFull)
	i.lost(0, lostExportFailed)
}

// builder creates instruments from their definitions and keeps the errors for
// the end.
type builder struct {
	meter metric.Meter
	known map[string]definition
	errs  []error
}

func (b *builder) keep(name string, err error) {
	if err != nil {
		b.errs = append(b.errs, fmt.Errorf("create instrument %s: %w", name, err))
	}
}

func (b *builder) seconds(name string) metric.Float64Histogram {
	d := b.known[name]
	h, err := b.meter.Float64Histogram(name, metric.WithUnit(d.unit), metric.WithDescription(d.meaning), metric.WithExplicitBucketBoundaries(d.bounds...))
	b.keep(name, err)
	return h
}

func (b *builder) tokens(name string) metric.Int64Histogram {
	d := b.known[name]
	h, err := b.meter.Int64Histogram(name, metric.WithUnit(d.unit), metric.WithDescription(d.meaning), metric.WithExplicitBucketBoundaries(d.bounds...))
	b.keep(name, err)
	return h
}

func (b *builder) money(name string) metric.Float64Counter {
	d := b.known[name]
	c, err := b.meter.Float64Counter(name, metric.WithUnit(d.unit), metric.WithDescription(d.meaning))
	b.keep(name, err)
	return c
}

func (b *builder) counter(name string) metric.Int64Counter {
	d := b.known[name]
	c, err := b.meter.Int64Counter(name, metric.WithUnit(d.unit), metric.WithDescription(d.meaning))
	b.keep(name, err)
	return c
}

func (b *builder) upDown(name string) metric.Int64UpDownCounter {
	d := b.known[name]
	c, err := b.meter.Int64UpDownCounter(name, metric.WithUnit(d.unit), metric.WithDescription(d.meaning))
	b.keep(name, err)
	return c
}

func (b *builder) gauge(name string) metric.Int64Gauge {
	d := b.known[name]
	g, err := b.meter.Int64Gauge(name, metric.WithUnit(d.unit), metric.WithDescription(d.meaning))
	b.keep(name, err)
	return g
}

// observeBreaker creates a gauge that calls its source, once that is set, at each
// scrape.
func (b *builder) observeBreaker(source *atomic.Pointer[func() BreakerState]) {
	d := b.known[metricBreakerState]
	_, err := b.meter.Int64ObservableGauge(d.name, metric.WithUnit(d.unit), metric.WithDescription(d.meaning),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			if ask := source.Load(); ask != nil {
				o.Observe(int64((*ask)()))
			}
			return nil
		}))
	b.keep(d.name, err)
}

// observeKeys creates a gauge that calls its source, once that is set, at each
// scrape.
func (b *builder) observeKeys(source *atomic.Pointer[func() map[string]int64]) {
	d := b.known[metricKeys]
	_, err := b.meter.Int64ObservableGauge(d.name, metric.WithUnit(d.unit), metric.WithDescription(d.meaning),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			if ask := source.Load(); ask != nil {
				for state, n := range (*ask)() {
					o.Observe(n, metric.WithAttributes(labelState.String(state)))
				}
			}
			return nil
		}))
	b.keep(d.name, err)
}

// observeQueues creates the gauges of the queues, which share one source, called
// once at each scrape.
func (b *builder) observeQueues(source *atomic.Pointer[func() QueueNumbers]) {
	m, a := b.known[MetricQueueMessages], b.known[MetricQueueOldest]
	messages, err := b.meter.Int64ObservableGauge(m.name, metric.WithUnit(m.unit), metric.WithDescription(m.meaning))
	b.keep(m.name, err)
	oldest, err := b.meter.Float64ObservableGauge(a.name, metric.WithUnit(a.unit), metric.WithDescription(a.meaning))
	b.keep(a.name, err)
	_, err = b.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		ask := source.Load()
		if ask == nil {
			return nil
		}
		numbers := (*ask)()
		for _, n := range numbers.Messages {
			o.ObserveInt64(messages, n.Count, metric.WithAttributes(labelQueue.String(n.Queue), labelState.String(n.State)))
		}
		for _, n := range numbers.Oldest {
			o.ObserveFloat64(oldest, n.Age.Seconds(), metric.WithAttributes(labelQueue.String(n.Queue)))
		}
		return nil
	}, messages, oldest)
	b.keep(m.name, err)
}
