package limits

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gemini-client/service/servicetest"
)

func TestMain(m *testing.M) { servicetest.VerifyTestMain(m) }

// counters are those of a server, which takes its time.
type counters struct {
	mu     sync.Mutex
	totals map[string]int64
	adds   atomic.Int64
	away   atomic.Pointer[error]
}

var errAway = errors.New("nobody answers")

func (c *counters) Add(ctx context.Context, counter string, by int64, _ string) (int64, error) {
	way := func() error { return sleep(ctx, rand.N(5*time.Millisecond)+1) }
	if away := c.away.Load(); away != nil {
		return 0, *away
	}
	if err := way(); err != nil {
		return 0, err
	}
	c.adds.Add(1)
	c.mu.Lock()
	if c.totals == nil {
		c.totals = map[string]int64{}
	}
	c.totals[counter] += by
	total := c.totals[counter]
	c.mu.Unlock()
	return total, way()
}

// events counts what a group reports.
type events struct {
	unanswered atomic.Int64
	waited     atomic.Int64
}

// replica is a process with a clock of its own.
func (c *counters) replica(skew time.Duration, known bool, log slog.Handler) (*Group, *events) {
	e := &events{}
	return NewGroup(Config{
		Counter: c, Log: slog.New(log), now: func() time.Time { return time.Now().Add(skew) },
		Offset: func(ctx context.Context) (time.Duration, error) {
			if !known {
				return 0, errAway
			}
			return -skew, sleep(ctx, time.Millisecond)
		},
		Waited:     func(string, time.Duration) { e.waited.Add(1) },
		Unanswered: func(string) { e.unanswered.Add(1) },
	}), e
}

// record is when calls began, and how much they took.
type record struct {
	mu    sync.Mutex
	times []time.Time
	units []int64
}

func (r *record) add(units int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times, r.units = append(r.times, time.Now()), append(r.units, units)
}

// worst is the most of any minute.
func (r *record) worst() (most int64) {
	var sum int64
	first := 0
	for i, at := range r.times {
		sum += r.units[i]
		for at.Sub(r.times[first]) >= time.Minute {
			sum -= r.units[first]
			first++
		}
		most = max(most, sum)
	}
	return most
}

// between is what was taken in a time.
func (r *record) between(from, to time.Time) (sum int64) {
	for i, at := range r.times {
		if !at.Before(from) && at.Before(to) {
			sum += r.units[i]
		}
	}
	return sum
}

// callers make calls, one after the other, until ctx ends.
func callers(ctx context.Context, n int, r *record, ask func() Ask) (wait func()) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for ctx.Err() == nil {
				if a := ask(); a.Acquire(ctx) == nil {
					r.add(a.Wants[0].Units)
				}
			}
		})
	}
	return all.Wait
}

// discarding logs nothing.
func discarding() slog.Handler { return slog.DiscardHandler }

// said counts log lines.
type said struct {
	slog.Handler
	mu    sync.Mutex
	lines []string
}

func (s *said) Enabled(context.Context, slog.Level) bool { return true }

func (s *said) Handle(_ context.Context, r slog.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, r.Level.String()+" "+r.Message)
	return nil
}

// count returns how many lines say something.
func (s *said) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(s.lines), func(l string) bool { return !strings.Contains(l, what) }))
}

func (g *Group) requests(of string, perMinute int64) *Limiter {
	return g.New(Name{Kind: "tenant", Of: of, Unit: "requests", Counter: "limits." + of}, perMinute)
}
