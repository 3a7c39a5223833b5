package limits

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A clock that is set back stops no limit: of the process, while the server's is known or
// not, or the server's own.
func TestAClockIsSetBack(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{20 * time.Second, time.Hour} {
		for _, whose := range []string{"known", "not known", "the server's"} {
			t.Run(fmt.Sprint(step, " ", whose), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { setBack(t, step, whose) })
			})
		}
	}
}

func setBack(t *testing.T, step time.Duration, whose string) {
	t.Helper()
	var c counters
	var ours, theirs atomic.Int64
	g := NewGroup(Config{
		Counter: &c, Log: slog.New(discarding()), now: func() time.Time { return time.Now().Add(time.Duration(ours.Load())) },
		Offset: func(context.Context) (time.Duration, error) {
			if whose == "not known" {
				return 0, errAway
			}
			return time.Duration(theirs.Load() - ours.Load()), nil
		},
		Waited: func(string, time.Duration) {}, Unanswered: func(string) {},
	})
	defer g.Close()
	l := g.requests("a", 122)
	large := g.tokens("b", 61_000) // whose debt is paid from windows ahead
	ask := func() error {
		return Ask{Wants: []Want{{l, 1}, {large, 100}}, Within: 2 * time.Second}.Acquire(t.Context())
	}
	if err := (Ask{Wants: []Want{{large, 1000}}, Within: time.Second}).Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = sleep(t.Context(), 2*time.Second)
	for range 4 {
		if err := ask(); err != nil {
			t.Fatal(err)
		}
	}
	if whose == "the server's" {
		theirs.Add(-int64(step))
		_ = sleep(t.Context(), offsetEvery)
	} else {
		ours.Add(-int64(step))
	}
	for range 4 {
		if err := ask(); err != nil {
			t.Error(err)
		}
	}
	if share := l.past.perMinute(windowAt(g.time())); share < 1 {
		t.Errorf("a share of %d", share)
	}
}
