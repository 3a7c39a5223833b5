package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"gemini-client/service/config"
)

// Go collects when the heap has doubled. Where little is in use, that is many times a
// second under load, at a price that hardly depends on how much is collected. So the
// heap of a busy process may always grow to busyHeap before that; the price is so much
// memory at most, and nothing while idle.
const (
	busyHeap = 48 << 20
	// heapShare is the part of the memory limit that this may take at most.
	heapShare = 8
	// idleAfter is how long after a collection the next one must come for the process to
	// count as busy. Go itself collects every two minutes.
	idleAfter = 10 * time.Second

	defaultPercent = 100
	// largePercent is for a heap beyond busyHeap: with ten thousand calls in flight what is
	// not yet collected would be half of the memory. With 45 the process takes a tenth
	// less, and 2,000 calls over TLS lose 4 % of their rate.
	largePercent = 55
)

// boundHeap has Go stay within nine tenths of a container's memory, where nobody has
// set GOMEMLIMIT: it would let the heap grow to twice what is in use.
func boundHeap() {
	if limit := heapLimit(config.ContainerMemory(os.DirFS("/")), os.Getenv("GOMEMLIMIT")); limit > 0 {
		debug.SetMemoryLimit(limit)
	}
}

// heapLimit is what Go may take of a container's memory; 0 leaves it as it is: without a
// container's limit, or where somebody has set GOMEMLIMIT.
func heapLimit(container int64, set string) int64 {
	if container <= 0 || set != "" {
		return 0
	}
	return container / 10 * 9
}

// paceHeap has Go collect a small heap less often while the process is busy, and a large
// one more often, where nobody has set GOGC. It is for a process's whole life.
func paceHeap() {
	if os.Getenv("GOGC") == "" {
		p := &pace{last: time.Now(), percent: defaultPercent}
		p.afterNext()
	}
}

// pace sets after each collection how much the heap may grow until the next one. It
// belongs to the goroutine that runs finalizers.
type pace struct {
	last    time.Time
	percent int // in force
}

// afterNext has collected called after the next collection.
func (p *pace) afterNext() {
	runtime.SetFinalizer(&struct{ pad [32]byte }{}, func(any) { p.collected(time.Now()) }) // not tiny: those are freed together
}

func (p *pace) collected(now time.Time) {
	read := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(read)
	live := read[0].Value.Uint64()
	roots := read[1].Value.Uint64() + read[2].Value.Uint64()
	percent := nextPercent(live, roots, uint64(debug.SetMemoryLimit(-1)), now.Sub(p.last)) //nolint:gosec // limits are not negative
	p.last = now
	if percent*8 < p.percent*7 || percent*7 > p.percent*8 { // it stops the world, if shortly
		p.percent = percent
		debug.SetGCPercent(percent)
	}
	p.afterNext()
}

// nextPercent is GOGC for a heap with so many bytes in use, and so many in its roots, of
// a process that may have limit, which was collected so long after the time before. Go
// applies it to both: the heap may grow by that part of their sum.
func nextPercent(live, roots, limit uint64, since time.Duration) int {
	busy := min(busyHeap, limit/heapShare)
	switch {
	case since > idleAfter, live == 0:
		return defaultPercent
	case live >= busy:
		return largePercent
	}
	return max(largePercent, int((busy-live)*100/(live+roots))) //nolint:gosec // 48 MiB x 100 at most
}
