package bus

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
)

// A goroutine is used again, unless it was idle when idle ones were ended; closing waits
// for the work that is being done.
func TestRunners(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(*testing.T) {
		r, seen := newRunners(), map[string]bool{}
		run := func() {
			r.run(func() { seen[goroutine()] = true })
			synctest.Wait()
		}
		for range 3 {
			run()
		}
		if len(seen) != 1 {
			t.Errorf("%d goroutines did the work that one could", len(seen))
		}
		r.trim()
		synctest.Wait()
		if run(); len(seen) != 2 {
			t.Errorf("%d goroutines, want another one after the idle one was ended", len(seen))
		}
		done := false
		last := make(chan struct{})
		r.run(func() { <-last; done = true })
		go close(last)
		r.close()
		r.trim()
		if !done {
			t.Error("closed before the last work was done")
		}
	})
}

// goroutine names the calling goroutine.
func goroutine() string {
	text := make([]byte, 64)
	name, _, _ := strings.Cut(string(text[:runtime.Stack(text, false)]), "[")
	return name
}
