package telemetry

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/metric"
)

// DeclareModels names the models of the settings, so that they have a label of
// their own whatever models requesters name.
func (i *Instruments) DeclareModels(models ...string) {
	for _, model := range models {
		i.models.answered(model)
	}
}

// DeclareFailures makes the count of requests with a failed outcome begin with 0
// for a model and each code that there can be, so that the first one shows as an
// increase.
func (i *Instruments) DeclareFailures(ctx context.Context, failed fmt.Stringer, model string, codes ...string) {
	for _, code := range codes {
		key := settledKey{failed.String(), code, i.models.fold(model), defaultTenant}
		i.requests.Add(ctx, 0, i.cached.settled.get(key, settledKey.labels).add...)
	}
}

// DeclareReasons does the same for repeated calls and requests rescheduled.
func (i *Instruments) DeclareReasons(ctx context.Context, codes ...string) {
	for _, code := range codes {
		i.retries.Add(ctx, 0, metric.WithAttributes(labelReason.String(code)))
		i.scheduled.Add(ctx, 0, metric.WithAttributes(labelReason.String(code)))
	}
}

// DeclareDeadLetters does the same for dead letters.
func (i *Instruments) DeclareDeadLetters(ctx context.Context, codes ...string) {
	for _, code := range codes {
		i.deadLetters.Add(ctx, 0, metric.WithAttributes(labelCode.String(code)))
	}
}
