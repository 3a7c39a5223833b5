package main

import (
	"context"
	"time"
)

func pacedScenario() scenario {
	const perSecond, seconds = 500, 12
	return scenario{
		name: "paced", title: "500 requests a second for 12 seconds (open loop), 256 slots, calls of 20 ms; from when a request was due until its result is here",
		contenders: (*bench).contenders,
		run: func(ctx context.Context, r *run) error {
			set := setting{answer: answer{Chunks: 20, First: 20 * time.Millisecond, Over: 20 * time.Millisecond}, slots: 256}
			return pacedRun(ctx, r, set, perSecond, r.bench.requests(perSecond*seconds), false)
		},
		targets: []target{
			{contender: serviceName, metric: half, than: floorName, by: difference, limit: 0.7},
			{contender: serviceName, metric: tail, than: floorName, by: difference, limit: 2},
		},
	}
}

func deltasScenario() scenario {
	const perSecond, seconds = 50, 10
	return scenario{
		name: "deltas", title: "50 requests a second for 10 seconds with stream: true, calls of 1 s with 20 chunks; from the upstream's chunk to the subscriber",
		contenders: (*bench).builds,
		run: func(ctx context.Context, r *run) error {
			set := setting{answer: answer{Chunks: 20, First: 50 * time.Millisecond, Over: time.Second, Stamp: true}, slots: 256}
			return pacedRun(ctx, r, set, perSecond, r.bench.requests(perSecond*seconds), true)
		},
		targets: []target{{contender: serviceName, metric: deltaHalf, limit: 1}},
	}
}

func idleScenario() scenario {
	return scenario{
		name: "idle", title: "one request waits while the process starts; then nothing is to be done",
		contenders: (*bench).builds,
		run: func(ctx context.Context, r *run) error {
			return idleRun(ctx, r, setting{answer: answer{Chunks: 20}, slots: 100})
		},
		targets: []target{
			{contender: serviceName, metric: startTime, limit: 300},
			{contender: serviceName, metric: idleMemory, limit: 25},
			{contender: serviceName, metric: idleCPU, limit: 0.5},
			{contender: serviceName, metric: idleMessages, limit: 5},
		},
	}
}

func growthScenario() scenario {
	return scenario{
		name: "growth", title: "500,000 requests in five parts, 256 slots, upstream at once, 20 chunks; one run", once: true,
		contenders: (*bench).builds,
		run: func(ctx context.Context, r *run) error {
			return growthRun(ctx, r, setting{answer: answer{Chunks: 20}, slots: 256}, r.bench.requests(500_000))
		},
		targets: []target{
			{contender: serviceName, metric: leftGoroutines, limit: 0},
			{contender: serviceName, metric: growMemory, limit: 1.1},
			{contender: serviceName, metric: leftSockets, limit: 0},
			{contender: serviceName, metric: leftClaims, limit: claimAge.Seconds()},
		},
	}
}

func copiesScenario() scenario {
	return scenario{
		name: "copies", title: "100 copies of each of 100 requests wait, three workers with 50 slots, calls of 200 ms",
		contenders: (*bench).builds,
		run: func(ctx context.Context, r *run) error {
			set := setting{answer: answer{Chunks: 20, First: 200 * time.Millisecond, Over: 200 * time.Millisecond}, slots: 50}
			return copiesRun(ctx, r, set, r.bench.requests(100), 100, 3)
		},
		targets: []target{{contender: serviceName, metric: callsEach, limit: 1}},
	}
}
