package simulator_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/service/openrouter/simulator"
)

func TestTheFreeDayEndsAtMidnightUTC(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		<-time.After(7 * time.Hour) // a bubble begins at midnight, 2000-01-01
		w, stop := play(t, simulator.New(simulator.Config{}), "[sim:free_tier_daily]", true)
		synctest.Wait()
		stop()
		want := time.Date(2000, time.January, 2, 0, 0, 0, 0, time.UTC).UnixMilli()
		if got := w.Header().Get("X-RateLimit-Reset"); got != strconv.FormatInt(want, 10) {
			t.Errorf("X-RateLimit-Reset %s, want %d", got, want)
		}
	})
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Config{RateLimit: 2})
		ask := func() *tape {
			w, stop := play(t, sim, "why?", false)
			synctest.Wait()
			stop()
			return w
		}
		<-time.After(10 * time.Second)
		for i, want := range []int{200, 200, 429} {
			if got := ask().Code; got != want {
				t.Errorf("call %d of the minute: got %d, want %d", i+1, got, want)
			}
		}
		limited := ask()
		reset, _ := strconv.ParseInt(limited.Header().Get("X-RateLimit-Reset"), 10, 64)
		if want := time.Now().Truncate(time.Minute).Add(time.Minute).UnixMilli(); reset != want {
			t.Errorf("X-RateLimit-Reset %d, want %d", reset, want)
		}
		if limited.Header().Get("X-RateLimit-Limit") != "2" || limited.Header().Get("X-RateLimit-Remaining") != "0" {
			t.Errorf("headers %v", limited.Header())
		}
		if outcome := sim.Calls()[3].Outcome; outcome != simulator.OutcomeRateLimited {
			t.Errorf("outcome %q", outcome)
		}
		<-time.After(50 * time.Second)
		if got := ask().Code; got != 200 {
			t.Errorf("in the next minute: got %d", got)
		}
	})
}

func TestStorms(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Config{Storm: simulator.Storm{Every: time.Minute, For: 10 * time.Second}})
		began := time.Now()
		for _, test := range []struct {
			at         time.Duration
			status     int
			retryAfter string
		}{
			{0, 200, ""},
			{49 * time.Second, 200, ""},
			{50 * time.Second, 429, "10"},
			{57500 * time.Millisecond, 429, "3"},
			{59500 * time.Millisecond, 429, "1"},
			{time.Minute, 200, ""},
			{115 * time.Second, 429, "5"},
		} {
			<-time.After(time.Until(began.Add(test.at)))
			w, stop := play(t, sim, "why?", false)
			synctest.Wait()
			stop()
			if w.Code != test.status || w.Header().Get("Retry-After") != test.retryAfter {
				t.Errorf("after %v: got %d, Retry-After %q, want %d, %q",
					test.at, w.Code, w.Header().Get("Retry-After"), test.status, test.retryAfter)
			}
		}
	})
}

func TestStorm429EndsByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Config{})
		sim.SetFault(simulator.Storm429(time.Now().Add(30 * time.Second)))
		for at, want := range []string{"30", "20", "10", ""} {
			w, stop := play(t, sim, "why?", false)
			synctest.Wait()
			stop()
			if got := w.Header().Get("Retry-After"); got != want || (w.Code == 429) != (want != "") {
				t.Errorf("after %d0s: got %d, Retry-After %q, want %q", at, w.Code, got, want)
			}
			<-time.After(10 * time.Second)
		}
	})
}
