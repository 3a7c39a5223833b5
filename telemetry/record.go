package telemetry

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
)

// chatKey is what the labels of a chat are made of; the models are folded.
type chatKey struct {
	model, served string
	errorType     string
	server        string
	port          int
}

// chatLabels are the labels of a chat, for each of its metrics.
type chatLabels struct{ duration, first, input, output labels }

func (k chatKey) labels() chatLabels {
	c := ChatInfo{Model: k.model, ServerAddress: k.server, ServerPort: k.port}
	attrs := slices.Concat(c.identity(), c.server(), optional(keyResponseModel, k.served))
	of := func(one attribute.KeyValue) labels { return newLabels(append(slices.Clip(attrs), one)...) }
	return chatLabels{
		duration: newLabels(withError(attrs, k.errorType)...), first: newLabels(attrs...),
		input: of(keyTokenType.String(typeInput)), output: of(keyTokenType.String(typeOutput)),
	}
}

func (i *Instruments) chatted(ctx context.Context, c ChatInfo, r ChatResult, took time.Duration) {
	if r.Model != "" {
		i.models.answered(r.Model)
	}
	l := i.cached.chatted.get(chatKey{i.models.fold(c.Model), i.models.fold(r.Model), r.ErrorType, c.ServerAddress, c.ServerPort}, chatKey.labels)
	i.chatDuration.Record(ctx, took.Seconds(), l.duration.record...)
	if r.FirstChunk > 0 {
		i.chatFirstChunk.Record(ctx, r.FirstChunk.Seconds(), l.first.record...)
	}
	if r.InputTokens != nil {
		i.chatTokens.Record(ctx, *r.InputTokens, l.input.record...)
	}
	if r.OutputTokens != nil {
		i.chatTokens.Record(ctx, *r.OutputTokens, l.output.record...)
	}
}

func (i *Instruments) processed(ctx context.Context, took time.Duration, l labels) {
	i.processDuration.Record(ctx, took.Seconds(), l.record...)
}

// published records a message that was sent.
func (i *Instruments) published(ctx context.Context, took time.Duration, l labels) {
	i.clientDuration.Record(ctx, took.Seconds(), l.record...)
	i.sentCount.Add(ctx, 1, l.add...)
}

// settled records a message that was settled.
func (i *Instruments) settled(ctx context.Context, took time.Duration, l labels) {
	i.clientDuration.Record(ctx, took.Seconds(), l.record...)
}

// optional returns a label only if it has a value.
func optional(key attribute.Key, value string) []attribute.KeyValue {
	if value == "" {
		return nil
	}
	return []attribute.KeyValue{key.String(value)}
}
