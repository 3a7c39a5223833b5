package upstream

import (
	"net/http"
	"testing"
	"testing/synctest"
)

// A fallback that is gone is named again once an hour, and not with every request after
// the first hour.
func TestGoneFallbackIsNamedOnceAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &modelRouter{}
		m.tell("x/a", func(r *http.Request) (*http.Response, error) {
			m.mu.Lock()
			list := len(m.seen[len(m.seen)-1].Models) > 0
			m.mu.Unlock()
			if list {
				return noEndpoints("x/b")(r)
			}
			return from("x/a")(r)
		})
		p, log := newLoggedCaller(t, m.react)
		ask := func() { checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), "") }
		for range 2 {
			ask()
			ask()
			wantSent(t, m, "x/a,x/b", "x/a", "x/a")
			_ = sleep(t.Context(), retiredFor)
		}
		if warnings(log) != 1 {
			t.Errorf("want one warning:\n%s", log)
		}
	})
}
