// Bench measures the service end to end, beside the floor: a bare loop of consume, POST, publish, acknowledge, which
// has none of the service's promises (floor.go). It is what `make bench-e2e` runs; README.md has the figures.
//
//	bin/bench --scenario backlog --runs 1               # a part of it
//	bin/bench --worker bin/worker --worker-b X   # two builds of the service, alternately
//	bin/bench --pprof DIR                               # with profiles of the service
//
// # What runs
//
//	        fills the queue,                     bench
//	        looks at the streams                   │ starts, reads /proc, asks for counts
//	     ┌────────────────────────┬───────────────┼──────────────────────┬───────────────────┐
//	     ▼                        ▼               ▼                      ▼                   ▼
//	nats-server (1 or 3) ◀── gemini-client serve, or the floor ──▶ upstream          collector of spans
//
// Each is a process of its own, and all of them are started anew for each run, with an empty store. nats-server is the
// module in go.mod, in this very program under another name (role.go), or a binary that --nats-server names. So are the
// floor, the upstream and the collector. Each part ends with its standard input, so that none outlives the benchmark.
//
// # How it is measured
//
// Contenders run in alternating order, each as often as the others; a figure is the median of its runs. What runs on the
// same machine takes from each other, so absolute rates say little about another machine: the floor on the same work is
// the measure.
//
//   - requests/s: the requests, by the time from the first result to the last as JetStream stored them. A call's duration
//     is added, because the first result comes so much later than the first request.
//   - CPU: user and system time of the processes, over a whole run, the worker's start included, divided by the requests.
//   - peak MB: the largest resident memory (VmHWM).
//   - p50, p99 of an open loop: from when a request was due, not from when it was published: a publisher that was held up
//     would leave out the waits that it caused (coordinated omission). The first two seconds do not count.
//   - deltas: the upstream writes the time into each chunk, and a subscriber reads it out of the delta.
//   - alone, beside: what requests of an open loop wait, without a backlog in another tenant's queue or in the batch lane,
//     and then with one, in the same processes. In lanes the wait ends with the first delta.
//   - lone: requests that come one by one, 200 ms apart, from publishing to the result.
//   - idle: after five seconds, for twenty; messages are those that nats-server received from clients.
//
// Each run is checked too: exactly one result a request, none failed, one call each at the upstream, no span lost. A run
// that does anything else is an error and not a figure.
//
// The command line gets a plain line of progress rather than a library's bars: see progress.go.
//
// # Profiles
//
// The service has no profiler. --pprof builds it from --source with one: `go build -overlay` adds overlay/profile.go.txt
// to its main package, which is part of no other build, so that nothing is paid where it is not used. Profiles of CPU
// and allocations end with a run; that of the heap is taken when half of the results are there.
package main
