package main

import (
	"math"
	"slices"
)

// A metric is one figure of a run.
type metric string

// What is measured. A name says the unit. Memory is resident memory.
const (
	rate       metric = "requests/s"
	workerCPU  metric = "worker CPU ms/request"
	natsCPU    metric = "nats CPU ms/request"
	workerPeak metric = "worker peak MB"
	natsPeak   metric = "nats peak MB"
	spansEach  metric = "spans/request"
	callsEach  metric = "calls/request"
	peakCalls  metric = "calls in flight at most"

	half     metric = "p50 ms"
	ninety   metric = "p90 ms"
	tail     metric = "p99 ms"
	farthest metric = "p99.9 ms"

	deltaHalf  metric = "delta p50 ms"
	deltaTail  metric = "delta p99 ms"
	deltaCount metric = "deltas"

	aloneHalf       metric = "alone p50 ms"
	aloneTwentieth  metric = "alone p95 ms"
	aloneTail       metric = "alone p99 ms"
	besideHalf      metric = "beside p50 ms"
	besideTwentieth metric = "beside p95 ms"
	besideTail      metric = "beside p99 ms"
	twentiethRatio  metric = "p95 beside/alone"
	tailMore        metric = "p99 ms more beside"
	backlogRate     metric = "of the backlog/s"

	loneHalf     metric = "lone p50 ms"
	loneNinety   metric = "lone p90 ms"
	restWorker   metric = "idle worker CPU ms/s"
	restNATS     metric = "idle nats CPU ms/s"
	restMessages metric = "idle messages in+out/s"

	startTime    metric = "start to result ms"
	idleMemory   metric = "idle MB"
	idleCPU      metric = "idle CPU %"
	idleMessages metric = "idle messages/s"

	lastRate       metric = "last tenth/first"
	growMemory     metric = "worker MB last/first"
	growNATS       metric = "nats MB more in 2nd half"
	leftGoroutines metric = "goroutines left over"
	leftSockets    metric = "sockets left over"
	leftClaims     metric = "oldest claim s"
)

// order is that of a table.
func order() []metric {
	return []metric{
		half, ninety, tail, farthest, aloneHalf, aloneTwentieth, aloneTail, besideHalf, besideTwentieth, besideTail, twentiethRatio, tailMore, backlogRate,
		loneHalf, loneNinety, restWorker, restNATS, restMessages, deltaHalf, deltaTail, deltaCount, startTime, idleMemory, idleCPU, idleMessages,
		rate, lastRate, workerCPU, natsCPU, workerPeak, natsPeak, spansEach, callsEach, peakCalls,
		growMemory, growNATS, leftGoroutines, leftSockets, leftClaims,
	}
}

// median is the middle one; of an even number, the mean of the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentile is the smallest value that is not below p percent of all (nearest
// rank). values are sorted.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(values))))
	return values[min(max(rank, 1), len(values))-1]
}
