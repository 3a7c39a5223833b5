package telemetry

import (
	"fmt"

	"go.opentelemetry.io/otel/metric"
)

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

func (b *builder) amount(name string) metric.Float64Counter {
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
