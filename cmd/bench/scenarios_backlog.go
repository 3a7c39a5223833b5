package main

import (
	"context"
	"time"
)

func backlogScenario() scenario {
	return scenario{
		name: "backlog", title: "20,000 requests wait, 256 slots, upstream at once, 20 chunks",
		contenders: func(b *bench) []contender { return b.traced(b.contenders()) },
		run: func(ctx context.Context, r *run) error {
			return backlogRun(ctx, r, setting{answer: answer{Chunks: 20}, slots: 256}, 20_000)
		},
		targets: []target{
			{contender: serviceName, metric: rate, than: floorName, limit: 0.60, least: true},
			{contender: tracedName, metric: rate, than: floorName, limit: 0.45, least: true},
			{contender: serviceName, metric: workerCPU, limit: 0.18},
			{contender: serviceName, metric: natsCPU, limit: 0.09},
		},
	}
}

// manyTargets are those of many calls in flight.
func manyTargets() []target {
	return []target{
		{contender: serviceName, metric: rate, than: floorName, limit: 0.95, least: true},
		{contender: serviceName, metric: workerPeak, than: floorName, limit: 1.2},
	}
}

func inFlightScenario() scenario {
	return scenario{
		name: "inflight", title: "40,000 requests wait, 10,000 slots, calls of 4 s with 5 chunks",
		contenders: (*bench).contenders,
		run: func(ctx context.Context, r *run) error {
			set := setting{answer: answer{Chunks: 5, First: 800 * time.Millisecond, Over: 4 * time.Second}, slots: 10_000}
			return backlogRun(ctx, r, set, 40_000)
		},
		targets: manyTargets(),
	}
}

func tlsScenario() scenario {
	return scenario{
		name: "tls", title: "8,000 requests wait, 2,000 slots, calls of 4 s with 50 chunks over TLS and HTTP/2",
		contenders: (*bench).contenders,
		run: func(ctx context.Context, r *run) error {
			set := setting{answer: answer{Chunks: 50, First: 400 * time.Millisecond, Over: 4 * time.Second, TLS: true}, slots: 2_000}
			return backlogRun(ctx, r, set, 8_000)
		},
		targets: manyTargets(),
	}
}

func millionScenario() scenario {
	return scenario{
		name: "million", title: "1,000,000 requests wait, 256 slots, upstream at once, 20 chunks; one run each", once: true,
		contenders: (*bench).contenders,
		run: func(ctx context.Context, r *run) error {
			return longRun(ctx, r, setting{answer: answer{Chunks: 20}, slots: 256}, 1_000_000)
		},
		targets: []target{
			{contender: serviceName, metric: lastRate, limit: 0.9, least: true},
			{contender: serviceName, metric: growMemory, limit: 1.1},
			{contender: serviceName, metric: growNATS, than: floorName, by: difference, limit: 100},
		},
	}
}

func scaleScenario() scenario {
	return scenario{
		name: "scale", title: "1,500 requests a worker wait, 50 slots each, calls of 200 ms: 1, 2 and 4 workers",
		contenders: (*bench).crowds,
		run: func(ctx context.Context, r *run) error {
			set := setting{answer: answer{Chunks: 20, First: 200 * time.Millisecond, Over: 200 * time.Millisecond}, slots: 50}
			return backlogRun(ctx, r, set, 1_500*r.contender.workers())
		},
		targets: []target{
			{contender: serviceName + " ×2", metric: rate, than: serviceName + " ×1", limit: 1.8, least: true},
			{contender: serviceName + " ×4", metric: rate, than: serviceName + " ×1", limit: 3.6, least: true},
		},
	}
}

func shareScenario() scenario {
	return scenario{
		name: "share", title: "20,000 requests wait, 50 slots each, upstream at once: 1, 2 and 4 workers",
		contenders: (*bench).crowds,
		run: func(ctx context.Context, r *run) error {
			return backlogRun(ctx, r, setting{answer: answer{Chunks: 20}, slots: 50}, 20_000)
		},
		targets: []target{
			{contender: serviceName + " ×2", metric: rate, than: serviceName + " ×1", limit: 1, least: true},
			{contender: serviceName + " ×4", metric: rate, than: serviceName + " ×1", limit: 1, least: true},
		},
	}
}

func alwaysScenario() scenario {
	return scenario{
		name: "always", title: "5,000 requests wait, 256 slots, upstream at once, 20 chunks; sync_interval: always, and the service with NATS_GROUP_COMMIT=true",
		contenders: (*bench).contenders,
		run: func(ctx context.Context, r *run) error {
			return backlogRun(ctx, r, setting{answer: answer{Chunks: 20}, slots: 256, always: true}, 5_000)
		},
		targets: []target{{contender: serviceName, metric: rate, than: floorName, limit: 2, least: true}},
	}
}

func clusterScenario() scenario {
	return scenario{
		name: "cluster", title: "10,000 requests wait, 256 slots, upstream at once, 20 chunks; three servers, three copies of each stream",
		contenders: (*bench).contenders,
		run: func(ctx context.Context, r *run) error {
			return backlogRun(ctx, r, setting{answer: answer{Chunks: 20}, slots: 256, servers: 3}, 10_000)
		},
		targets: []target{{contender: serviceName, metric: rate, than: floorName, limit: 0.6, least: true}},
	}
}
