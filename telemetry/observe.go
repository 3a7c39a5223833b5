package telemetry

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
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

// ObserveBreaker sets the source of the circuit breaker's state. It is called at
// each scrape, possibly concurrently, and must answer from memory.
func (i *Instruments) ObserveBreaker(source func() BreakerState) {
	i.breaker.Store(&source)
}

// ObserveModels sets the source of the state of each model's circuit breaker. It is
// called at each scrape, possibly concurrently, and must answer from memory.
func (i *Instruments) ObserveModels(source func() map[string]BreakerState) {
	i.modelBreakers.Store(&source)
}

// ObserveKeys sets the source of the number of keys by state. It is called at
// each scrape, possibly concurrently, and must answer from memory.
func (i *Instruments) ObserveKeys(source func() map[string]int64) {
	i.keys.Store(&source)
}

// ObserveExpiries sets the source of when each model expires that does. It is called
// at each scrape, possibly concurrently, and must answer from memory.
func (i *Instruments) ObserveExpiries(source func() map[string]time.Time) {
	i.expiries.Store(&source)
}

// ObserveKeyCredit sets the source of what is left of the keys' limits, in USD, and
// whether any has one. It is called at each scrape, possibly concurrently, and must
// answer from memory.
func (i *Instruments) ObserveKeyCredit(source func() (usd float64, limited bool)) {
	i.keyCredit.Store(&source)
}

// observeKeyCredit creates a gauge that calls its source, once that is set, at each
// scrape.
func (b *builder) observeKeyCredit(source *atomic.Pointer[func() (float64, bool)]) {
	d := b.known[metricKeyCredit]
	_, err := b.meter.Float64ObservableGauge(d.name, metric.WithUnit(d.unit), metric.WithDescription(d.meaning),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			if ask := source.Load(); ask != nil {
				if usd, limited := (*ask)(); limited {
					o.Observe(usd)
				}
			}
			return nil
		}))
	b.keep(d.name, err)
}

// QueueNumbers is how full the queues are. What is not known is left out.
type QueueNumbers struct {
	Messages []QueueMessages
	Oldest   []QueueAge
	Sizes    []QueueSize
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

// QueueSize is how large the stream behind a subject is, and may become.
type QueueSize struct {
	Queue        string // what its subjects begin with
	Bytes, Limit int64  // no limit: 0
}

// ObserveQueues sets the source of the queues' numbers. It is called at each
// scrape, possibly concurrently, and must answer from memory.
func (i *Instruments) ObserveQueues(source func() QueueNumbers) {
	i.queues.Store(&source)
}

// ObserveMemory sets the source of the memory that is set aside for what is in
// hand, and of its budget (0: none). It is called at each scrape, possibly
// concurrently, and must answer from memory.
func (i *Instruments) ObserveMemory(source func() (inHand, budget int64)) {
	i.memory.Store(&source)
}

// observeMemory creates the gauges of the memory, which share one source.
func (b *builder) observeMemory(source *atomic.Pointer[func() (inHand, budget int64)]) {
	memory, limit := b.bytes(metricMemory), b.bytes(metricMemoryBudget)
	_, err := b.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if ask := source.Load(); ask != nil {
			inHand, budget := (*ask)()
			o.ObserveInt64(memory, inHand)
			if budget > 0 {
				o.ObserveInt64(limit, budget)
			}
		}
		return nil
	}, memory, limit)
	b.keep(metricMemory, err)
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

// observeModels creates a gauge that calls its source, once that is set, at each
// scrape. Models that share a label show the worst state among them.
func (b *builder) observeModels(source *atomic.Pointer[func() map[string]BreakerState], fold func(string) string) {
	d := b.known[metricModelBreaker]
	_, err := b.meter.Int64ObservableGauge(d.name, metric.WithUnit(d.unit), metric.WithDescription(d.meaning),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			ask := source.Load()
			if ask == nil {
				return nil
			}
			worst := map[string]BreakerState{}
			for model, state := range (*ask)() {
				label := fold(model)
				worst[label] = max(worst[label], state)
			}
			for label, state := range worst {
				o.Observe(int64(state), metric.WithAttributes(keyRequestModel.String(label)))
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

// observeExpiries creates a gauge that calls its source, once that is set, at each
// scrape. Models that share a label show the one that is the next to go.
func (b *builder) observeExpiries(source *atomic.Pointer[func() map[string]time.Time], fold func(string) string) {
	d := b.known[metricModelExpiry]
	_, err := b.meter.Float64ObservableGauge(d.name, metric.WithUnit(d.unit), metric.WithDescription(d.meaning),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			ask := source.Load()
			if ask == nil {
				return nil
			}
			next := map[string]time.Time{}
			for model, at := range (*ask)() {
				label := fold(model)
				if known, taken := next[label]; !taken || at.Before(known) {
					next[label] = at
				}
			}
			for label, at := range next {
				o.Observe(time.Until(at).Seconds(), metric.WithAttributes(keyRequestModel.String(label)))
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
	size, limit := b.bytes(MetricQueueSize), b.bytes(metricQueueLimit)
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
		for _, n := range numbers.Sizes {
			of := metric.WithAttributes(labelQueue.String(n.Queue))
			o.ObserveInt64(size, n.Bytes, of)
			if n.Limit > 0 {
				o.ObserveInt64(limit, n.Limit, of)
			}
		}
		return nil
	}, messages, oldest, size, limit)
	b.keep(m.name, err)
}

func (b *builder) bytes(name string) metric.Int64ObservableGauge {
	d := b.known[name]
	g, err := b.meter.Int64ObservableGauge(d.name, metric.WithUnit(d.unit), metric.WithDescription(d.meaning))
	b.keep(name, err)
	return g
}
