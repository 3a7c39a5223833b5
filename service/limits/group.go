package limits

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Counter counts for all replicas.
type Counter interface {
	// Add adds to a counter, and returns what it is then. An increment of which no answer
	// came may have been counted.
	Add(ctx context.Context, counter string, by int64, id string) (total int64, err error)
}

// ErrNotShared is Counter's error where there are no shared counters: each process has
// the whole limit then.
var ErrNotShared = errors.New("there are no counters that processes share")

// The clock of the server is asked for when a limiter begins to work and after each of
// these times, sooner if there was no answer.
const (
	offsetEvery = 5 * time.Minute
	offsetAgain = 10 * time.Second
	askWithin   = 500 * time.Millisecond
)

// Config is what limiters work with.
type Config struct {
	Counter    Counter
	Offset     func(context.Context) (time.Duration, error) // how far the server's clock is ahead of ours
	Log        *slog.Logger
	Waited     func(kind string, wait time.Duration) // a call waited for a limit, for so long
	Unanswered func(kind string)                     // an increment got no answer

	now func() time.Time // nil: time.Now; tests have clocks that are wrong
}

// Group is the limiters of a process. [NewGroup] makes it, Close ends it.
type Group struct {
	Config
	alive context.Context //nolint:containedctx // ends the goroutines of all limiters, which begin and end with their lines
	die   context.CancelFunc
	work  sync.WaitGroup

	mu     sync.Mutex
	offset time.Duration
	ask    time.Time // when the clock is asked for next
	away   bool      // the log says that the counters are
}

// NewGroup returns a group without limiters. It starts nothing.
func NewGroup(c Config) *Group {
	if c.now == nil {
		c.now = time.Now
	}
	g := &Group{Config: c}
	g.alive, g.die = context.WithCancel(context.Background())
	return g
}

// Close ends what its limiters have under way. Nobody may wait for a limit any more.
func (g *Group) Close() {
	g.die()
	g.work.Wait()
}

// time is what the server's clock shows.
func (g *Group) time() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now().Add(g.offset)
}

// doubt has the server's clock asked for soon.
func (g *Group) doubt() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ask = time.Time{}
}

// synchronize asks for the server's clock, if that is due.
func (g *Group) synchronize() {
	g.mu.Lock()
	now := g.now()
	due := !now.Before(g.ask) || g.ask.Sub(now) > offsetEvery // or our clock was set back
	if due {
		g.ask = now.Add(offsetEvery) // the others need not ask
	}
	g.mu.Unlock()
	if !due {
		return
	}
	ctx, cancel := context.WithTimeout(g.alive, askWithin)
	defer cancel()
	offset, err := g.Offset(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.ask = now.Add(offsetAgain)
		return
	}
	g.offset = offset
}

// left notes that a limiter goes on without the counters, or with them again. The log
// says it once for all limiters.
func (g *Group) left(away bool, why error) {
	g.mu.Lock()
	before := g.away
	g.away = away
	g.mu.Unlock()
	switch {
	case away && !before:
		g.Log.Warn("limits cannot be counted together with the other workers: this one goes on with the share that it had", "error", why)
	case before && !away:
		g.Log.Info("limits are counted together with the other workers again")
	}
}
