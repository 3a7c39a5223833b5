package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// beginLimits reports 0 for every kind of limit.
func (i *Instruments) beginLimits(ctx context.Context) {
	for _, kind := range []string{"tenant", "model", "key"} {
		set := metric.WithAttributes(labelLimit.String(kind))
		i.limitWaits.Add(ctx, 0, set)
		i.limitWaited.Add(ctx, 0, set)
		i.limitLost.Add(ctx, 0, set)
	}
}

// LimitWaited counts a call that waited for a limit of a kind: tenant, model or key.
func (i *Instruments) LimitWaited(kind string, wait time.Duration) {
	set := i.cached.limited.get(kind, func(kind string) labels { return newLabels(labelLimit.String(kind)) })
	i.limitWaits.Add(context.Background(), 1, set.add...)
	i.limitWaited.Add(context.Background(), wait.Seconds(), set.add...)
}

// LimitUnanswered counts an increment of a shared counter of which no answer came.
func (i *Instruments) LimitUnanswered(kind string) {
	i.limitLost.Add(context.Background(), 1, metric.WithAttributes(labelLimit.String(kind)))
}
