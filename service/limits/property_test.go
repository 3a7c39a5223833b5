package limits

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// In no minute does a fleet make more calls than the limit, and it can make 97 % of it:
// with one replica and with 20, clocks half a second apart, their difference known or
// not, and replicas that are killed.
func TestTheLimitHoldsForAllReplicas(t *testing.T) {
	t.Parallel()
	for _, rate := range []int64{1, 7, 37, 600, 2000} {
		for _, replicas := range []int{1, 4, 20} {
			for _, clocks := range []string{"agree", "are known", "are not known"} {
				t.Run(fmt.Sprintf("%d a minute, %d replicas whose clocks %s", rate, replicas, clocks), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { holds(t, rate, replicas, clocks) })
				})
			}
		}
	}
}

func holds(t *testing.T, rate int64, replicas int, clocks string) {
	t.Helper()
	lasts := 5 * time.Minute
	if rate < 100 {
		lasts = time.Duration(max(20, 61/rate)) * time.Minute
	}
	var c counters
	var r record
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	began := time.Now()
	var waits []func()
	for i := range replicas {
		skew := time.Duration(0)
		if clocks != "agree" {
			skew = time.Duration(i) * window / time.Duration(max(1, replicas-1))
		}
		g, _ := c.replica(skew, clocks == "are known", discarding())
		l := g.requests("a", rate)
		alive := ctx
		if i%3 == 2 { // killed in the middle
			var kill context.CancelFunc
			alive, kill = context.WithTimeout(ctx, lasts/2+time.Duration(i)*time.Millisecond)
			defer kill()
			context.AfterFunc(alive, g.die) // an increment that is under way is never answered
		}
		waits = append(waits, callers(alive, 8, &r, func() Ask { return Ask{Wants: []Want{{l, 1}}, Within: time.Hour} }), g.Close)
	}
	for _, wait := range waits {
		wait()
	}
	if worst := r.worst(); worst > rate {
		t.Errorf("%d calls in a minute, the limit is %d", worst, rate)
	}
	minutes := int64(lasts / time.Minute)
	if used := r.between(began, began.Add(lasts)); used*100 < rate*minutes*97 {
		t.Errorf("%d calls in %v are %.1f %% of the limit, want 97", used, lasts, float64(used)*100/float64(rate*minutes))
	} else {
		t.Logf("worst minute %d of %d, %.2f %% used", r.worst(), rate, float64(used)*100/float64(rate*minutes))
	}
}
