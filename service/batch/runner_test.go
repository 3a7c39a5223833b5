package batch

import (
	"fmt"
	"testing"
	"time"
)

// Requesters name groups, so a process remembers some of them.
func TestGroupsAreForgotten(t *testing.T) {
	t.Parallel()
	r := New(nil, nil, nil, time.Hour, nil)
	for i := range 3 * knownMost {
		r.Enrolled(t.Context(), fmt.Sprint(i), 1)
	}
	if n := len(r.waiting); n > knownMost {
		t.Errorf("remembers %d groups, want %d at most", n, knownMost)
	}
}
