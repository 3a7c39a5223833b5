package main

import (
	"math"
	"testing"
	"time"
)

func TestHeapOfABusyProcess(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, tt := range map[string]struct {
		live, roots, limit uint64
		since              time.Duration
		want               int
	}{
		"small and busy":   {8 * mib, 0, math.MaxInt64, time.Second, 500},
		"many goroutines":  {8 * mib, 8 * mib, math.MaxInt64, time.Second, 250},
		"half of it":       {32 * mib, 0, math.MaxInt64, time.Second, 55},
		"large":            {500 * mib, 0, math.MaxInt64, time.Millisecond, 55},
		"idle":             {8 * mib, 0, math.MaxInt64, time.Minute, 100},
		"little memory":    {8 * mib, 0, 256 * mib, time.Second, 300},
		"very little":      {8 * mib, 0, 64 * mib, time.Second, 55},
		"nothing is known": {0, 0, math.MaxInt64, time.Second, 100},
	} {
		if got := nextPercent(tt.live, tt.roots, tt.limit, tt.since); got != tt.want {
			t.Errorf("%s: nextPercent(%d, %d, %d, %s) = %d, want %d", name, tt.live, tt.roots, tt.limit, tt.since, got, tt.want)
		}
	}
}

// Go's limit follows the container's, unless GOMEMLIMIT says another.
func TestHeapFollowsTheContainer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		container int64
		set       string
		want      int64
	}{{1000, "", 900}, {1000, "1GiB", 0}, {1000, "off", 0}, {0, "", 0}, {-1, "", 0}} {
		if got := heapLimit(tt.container, tt.set); got != tt.want {
			t.Errorf("heapLimit(%d, %q) = %d, want %d", tt.container, tt.set, got, tt.want)
		}
	}
}
