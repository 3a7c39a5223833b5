package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/metric"
)

// beginBatches reports 0 for every outcome.
func (i *Instruments) beginBatches(ctx context.Context) {
	for _, outcome := range []string{batchSubmitted, "completed", "split", "failed", "refused", "expired", "lost", "empty"} {
		i.batches.Add(ctx, 0, metric.WithAttributes(labelOutcome.String(outcome)))
	}
	for _, outcome := range []string{"waiting", batchSubmitted, "answered", "returned"} {
		i.batchItems.Add(ctx, 0, metric.WithAttributes(labelOutcome.String(outcome)))
	}
}

const batchSubmitted = "submitted"

// BatchSubmitted counts a batch that OpenRouter has taken, and its requests.
func (i *Instruments) BatchSubmitted(ctx context.Context, requests int) {
	i.batches.Add(ctx, 1, metric.WithAttributes(labelOutcome.String(batchSubmitted)))
	i.batchItems.Add(ctx, int64(requests), metric.WithAttributes(labelOutcome.String(batchSubmitted)))
}

// BatchEnded counts a batch that is over, by an outcome of a small closed set.
func (i *Instruments) BatchEnded(ctx context.Context, outcome string) {
	i.batches.Add(ctx, 1, metric.WithAttributes(labelOutcome.String(outcome)))
}

// BatchItem counts a request with tier batch, by what became of it: waiting, answered
// or returned.
func (i *Instruments) BatchItem(ctx context.Context, outcome string) {
	i.batchItems.Add(ctx, 1, metric.WithAttributes(labelOutcome.String(outcome)))
}
