package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

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
