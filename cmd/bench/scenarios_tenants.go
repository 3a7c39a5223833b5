package main

import (
	"context"
	"errors"
	"time"
)

// Numbers of tenants, and how many requests a second they publish at most in the flood.
const (
	floodTenants    = 20
	manyTenants     = 500
	floodMostPerSec = 50
	besideTime      = 40 * time.Second
)

func floodScenario() scenario {
	return scenario{
		name:       "flood",
		title:      "all tenants but one publish in turn, one request a second each and 50 in all at most; 40 seconds alone, then 40 while 50,000 of the last one's wait; calls of 200 ms, 100 slots; from when a request was due until its result is here",
		contenders: func(b *bench) []contender { return b.hosts(floodTenants, manyTenants) },
		run: func(ctx context.Context, r *run) error {
			set := setting{answer: answer{Chunks: 20, First: 200 * time.Millisecond, Over: 200 * time.Millisecond}, slots: 100}
			others := r.contender.tenants - 1 // tenant 0 floods
			if others < 1 {
				return errors.New("a flood needs a tenant beside it: --tenants is at least 2")
			}
			l := load{
				plan:  plan{rate: min(others, floodMostPerSec), subject: func(i int) string { return tenantSubject(1 + i%others) }},
				lasts: r.bench.lasting(besideTime), ends: completedPrefix + "*", endOf: resultOf,
				backlog: r.bench.requests(50_000), queue: tenantSubject(0),
			}
			return besideRun(ctx, r, set, l)
		},
		targets: []target{
			{contender: serviceName + tenantsSuffix(floodTenants), metric: twentiethRatio, limit: 1.2},
			{contender: serviceName + tenantsSuffix(manyTenants), metric: twentiethRatio, limit: 1.2},
		},
	}
}

func lanesScenario() scenario {
	const perSecond = 10
	return scenario{
		name:       "lanes",
		title:      "10 interactive requests a second with stream: true; 40 seconds alone, then 40 while 100,000 wait in the batch lane; calls of 1 s with 20 chunks, the first after 100 ms, 100 slots; from when a request was due until its first delta is here",
		contenders: (*bench).builds,
		run: func(ctx context.Context, r *run) error {
			set := setting{answer: answer{Chunks: 20, First: 100 * time.Millisecond, Over: time.Second}, slots: 100}
			l := load{
				plan: plan{rate: perSecond, stream: true}, lasts: r.bench.lasting(besideTime), ends: deltasAll, endOf: firstDeltaOf,
				backlog: r.bench.requests(100_000), queue: batchSubject,
			}
			return besideRun(ctx, r, set, l)
		},
		targets: []target{{contender: serviceName, metric: tailMore, limit: 50}},
	}
}

func tenantsScenario() scenario {
	return scenario{
		name:       "tenants",
		title:      "1, 50 and 500 tenants are declared and nothing is to be done for 20 seconds; then 50 requests come one by one, upstream at once",
		contenders: func(b *bench) []contender { return b.hosts(1, 50, manyTenants) },
		run: func(ctx context.Context, r *run) error {
			return loneRun(ctx, r, setting{answer: answer{Chunks: 1}, slots: 100})
		},
	}
}
