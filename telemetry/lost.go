package telemetry

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync/atomic"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// countedProcessor wraps the SDK's batch processor, which drops spans silently
// when its queue is full. It passes on no more spans than the queue can hold and
// counts the others. No request waits for a collector. Spans that end after
// Shutdown are not counted, because nobody scrapes any more.
type countedProcessor struct {
	sdktrace.SpanProcessor
	limit    int64
	onTheWay *atomic.Int64 // passed on and not handed to the exporter yet
	lost     func(n int, reason string)
}

// newCountedProcessor returns a batch processor that calls lost for every span
// that does not get through. It ends with its Shutdown, which flushes.
func newCountedProcessor(exporter sdktrace.SpanExporter, limit int, lost func(n int, reason string)) *countedProcessor {
	onTheWay := &atomic.Int64{}
	counted := countedExporter{exporter, onTheWay, lost}
	return &countedProcessor{
		SpanProcessor: sdktrace.NewBatchSpanProcessor(counted, sdktrace.WithMaxQueueSize(limit)),
		limit:         int64(limit), onTheWay: onTheWay, lost: lost,
	}
}

// OnEnd implements sdktrace.SpanProcessor.
func (p *countedProcessor) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	for {
		n := p.onTheWay.Load()
		if n >= p.limit {
			p.lost(1, lostQueueFull)
			return
		}
		if p.onTheWay.CompareAndSwap(n, n+1) {
			p.SpanProcessor.OnEnd(s)
			return
		}
	}
}

// Shutdown implements sdktrace.SpanProcessor. Its error says how many spans
// were left.
func (p *countedProcessor) Shutdown(ctx context.Context) error {
	err := p.SpanProcessor.Shutdown(ctx)
	if n := p.onTheWay.Load(); err != nil && n > 0 {
		return fmt.Errorf("%d spans were not sent: %w", n, err)
	}
	return err
}

// countedExporter counts the spans that an exporter loses.
type countedExporter struct {
	sdktrace.SpanExporter
	onTheWay *atomic.Int64
	lost     func(n int, reason string)
}

// ExportSpans implements sdktrace.SpanExporter.
func (e countedExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.onTheWay.Add(-int64(len(spans)))
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err != nil {
		e.lost(rejected(err, len(spans)), lostExportFailed)
	}
	return err
}

// partialSuccess is how the OTLP exporters word a collector's partial success;
// their type is internal.
var partialSuccess = regexp.MustCompile(`(?s)OTLP partial success: .*\((\d+) spans rejected\)`)

// rejected returns how many of n spans an error of an export has cost: all,
// unless the collector says how many it did not take.
func rejected(err error, n int) int {
	match := partialSuccess.FindStringSubmatch(err.Error())
	if match == nil {
		return n
	}
	refused, convErr := strconv.Atoi(match[1])
	if convErr != nil {
		return n
	}
	return min(refused, n)
}
