package telemetry

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// cleanExporter wraps every exporter and cleans all texts of spans: it masks keys,
// as the last line of defence, and replaces bytes that are not UTF-8. A message
// id can be any bytes, and one text that is not UTF-8 makes a whole export fail.
type cleanExporter struct {
	sdktrace.SpanExporter
}

// ExportSpans implements sdktrace.SpanExporter.
func (e cleanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	cleaned := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, span := range spans {
		cleaned[i] = cleanSpan{span}
	}
	return e.SpanExporter.ExportSpans(ctx, cleaned)
}

type cleanSpan struct {
	sdktrace.ReadOnlySpan
}

func (s cleanSpan) Name() string {
	return clean(s.ReadOnlySpan.Name())
}

func (s cleanSpan) Status() sdktrace.Status {
	status := s.ReadOnlySpan.Status()
	status.Description = clean(status.Description)
	return status
}

func (s cleanSpan) Attributes() []attribute.KeyValue {
	return cleanAttributes(s.ReadOnlySpan.Attributes())
}

func (s cleanSpan) Events() []sdktrace.Event {
	events := slices.Clone(s.ReadOnlySpan.Events())
	for i := range events {
		events[i].Name = clean(events[i].Name)
		events[i].Attributes = cleanAttributes(events[i].Attributes)
	}
	return events
}

func cleanAttributes(attrs []attribute.KeyValue) []attribute.KeyValue {
	cleaned := slices.Clone(attrs)
	for i, a := range cleaned {
		switch a.Value.Type() { //nolint:exhaustive // the others hold no text
		case attribute.STRING:
			cleaned[i] = a.Key.String(clean(a.Value.AsString()))
		case attribute.STRINGSLICE:
			texts := a.Value.AsStringSlice()
			for n := range texts {
				texts[n] = clean(texts[n])
			}
			cleaned[i] = a.Key.StringSlice(texts)
		}
	}
	return cleaned
}

func clean(text string) string {
	return strings.ToValidUTF8(Redact(text), "\uFFFD")
}
