package telemetry

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// Whatever is asked for, and by how many, a cache gives what belongs to the key and
// stays small.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	var c cache[int, string]
	var made atomic.Int64
	get := func(n int) string {
		return c.get(n, func(n int) string { made.Add(1); return strconv.Itoa(n) })
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := range 2 * maxCached {
				if got := get(n); got != strconv.Itoa(n) {
					t.Errorf("get(%d) = %s", n, got)
				}
			}
		})
	}
	wg.Wait()
	if kept := len(*c.kept.Load()); kept != maxCached {
		t.Errorf("%d are kept, want %d", kept, maxCached)
	}
	made.Store(0)
	for n := range 2 * maxCached {
		get(n)
	}
	if made.Load() != maxCached {
		t.Errorf("%d were made again, want those that are not kept, %d", made.Load(), maxCached)
	}
}
