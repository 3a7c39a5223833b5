//go:build integration

package integration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"gemini-client/service/openrouter/simulator"
)

// Settings of the chaos that its checks refer to.
const (
	firstToken   = 2 * time.Second
	shortAckWait = 5 * time.Second
	longAckWait  = 15 * time.Second // survives the absence of NATS
	absence      = 5 * time.Second
	faultTime    = 14 * time.Second // the faults begin within this time
)

// scenario is everything that happens in a run of chaos. Its seed decides it.
type scenario struct {
	seed       uint64
	shape      shape
	ackWait    time.Duration
	absent     bool    // NATS is away once
	count      int     // requests
	duplicates float64 // share of them that are published again
	hostile    float64 // how many hostile messages there are for each
	cancelled  float64 // share of them that are cancelled
	slowest    int     // answer, in milliseconds
	spread     time.Duration
	tracks     [][]step // each is played one after the other; tracks are side by side
}

// step is a fault and its time.
type step struct {
	at   time.Duration
	name string
	do   func(ctx context.Context, w *world) error
}

func newScenario(seed uint64) *scenario {
	random := rand.New(rand.NewPCG(seed, 0))
	s := &scenario{
		seed: seed, ackWait: shortAckWait, count: 150 + random.IntN(250), duplicates: 0.3 * random.Float64(),
		slowest: 200 + random.IntN(1200), spread: faultTime, hostile: 0.03 * random.Float64(), cancelled: 0.1 * random.Float64(),
	}
	if random.IntN(2) == 0 {
		s.ackWait = longAckWait
	}
	s.shape = shape{nodes: 1, replicas: 1 + random.IntN(3), program: programPlain}
	if random.IntN(3) == 0 {
		s.shape.nodes = 3
	}
	if seed%3 == 0 {
		s.shape.program = programRace
	}
	s.shape.env = map[string]string{
		"ACK_WAIT": s.ackWait.String(), "WORKER_CONCURRENCY": fmt.Sprint(10 + random.IntN(50)),
		"QUEUE_RETRY_DELAYS": "1,1,2", "QUEUE_MAX_RETRIES": "100", "KEYS_COOLDOWN_SECONDS": "1", "RETRY_WAIT_MAX": "3s",
		"FIRST_TOKEN_TIMEOUT": firstToken.String(), "TOKEN_GAP_TIMEOUT": "1s",
		"LOG_LEVEL": "DEBUG",
	}
	s.tracks = [][]step{
		draw(random, 1+random.IntN(5), s.serviceFault),
		draw(random, 1+random.IntN(3), s.natsFault),
		draw(random, 1+random.IntN(3), upstreamFault),
		draw(random, random.IntN(2), s.networkFault),
	}
	return s
}

// draw makes n steps in the order of their times.
func draw(random *rand.Rand, n int, one func(*rand.Rand) step) []step {
	var steps []step
	for range n {
		st := one(random)
		st.at = time.Second + time.Duration(random.Int64N(int64(faultTime)))
		steps = append(steps, st)
	}
	slices.SortFunc(steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	return steps
}

// serviceFault kills a replica, or stops it as a rolling deploy does.
func (s *scenario) serviceFault(random *rand.Rand) step {
	i, gone := random.IntN(s.shape.replicas), time.Duration(random.IntN(1500))*time.Millisecond
	if random.IntN(4) == 0 {
		return step{name: fmt.Sprintf("SIGTERM replica %d", i+1), do: func(ctx context.Context, w *world) error {
			w.replicas[i].stop()
			return w.replicas[i].start(ctx)
		}}
	}
	return step{name: fmt.Sprintf("kill -9 replica %d for %s", i+1, gone), do: func(ctx context.Context, w *world) error {
		w.replicas[i].kill()
		if err := pause(ctx, gone); err != nil {
			return err
		}
		return w.replicas[i].start(ctx)
	}}
}

// natsFault kills or restarts a server, or takes all of them away.
func (s *scenario) natsFault(random *rand.Rand) step {
	i, signal := random.IntN(s.shape.nodes), syscall.SIGKILL
	if random.IntN(2) == 0 {
		signal = syscall.SIGTERM
	}
	if random.IntN(4) == 0 && !s.absent {
		s.absent = s.ackWait == longAckWait // a second absence would outlast the lease
		return step{name: fmt.Sprintf("NATS away for %s (%s)", absence, signal), do: func(ctx context.Context, w *world) error {
			from := time.Now()
			err := w.away(ctx, signal, absence)
			w.outages = append(w.outages, span{from, time.Now()})
			return err
		}}
	}
	return step{name: fmt.Sprintf("restart nats-%d (%s)", i+1, signal), do: func(_ context.Context, w *world) error {
		w.nodes[i].end(signal)
		return w.nodes[i].start()
	}}
}

// networkFault cuts every replica off a NATS that lives, for longer than a lease, or
// one of them for less: neither is a reason to call twice.
func (s *scenario) networkFault(random *rand.Rand) step {
	all, freeze, i := random.IntN(2) == 0, random.IntN(2) == 0, random.IntN(s.shape.replicas)
	all = all || s.ackWait < longAckWait // cut off alone, and then by a restart of NATS, it would outlast the lease
	d := s.ackWait / 3
	who := fmt.Sprintf("replica %d", i+1)
	if all {
		d, who = s.ackWait+2*time.Second, "every replica"
	}
	return step{name: fmt.Sprintf("%s cut off NATS for %s (frozen: %t)", who, d, freeze), do: func(ctx context.Context, w *world) error {
		cut := w.replicas[i : i+1]
		if all {
			cut = w.replicas
		}
		return cutOff(ctx, cut, d, freeze)
	}}
}

// cutOff cuts replicas off at the same time. Their networks come back one after the
// other, as reconnects do.
func cutOff(ctx context.Context, replicas []*replica, d time.Duration, freeze bool) error {
	errs := make([]error, len(replicas))
	var all sync.WaitGroup
	for i, r := range replicas {
		all.Go(func() { errs[i] = r.cut(ctx, d+time.Duration(i)*1500*time.Millisecond, freeze) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// upstreamFault makes the upstream fail for one to four seconds.
func upstreamFault(random *rand.Rand) step {
	names := []string{"refuse", "hang", "hang_after_headers", "reset", "cut", "truncate", "stall", "503", "500", "429_provider", "429", "mid_error", "empty"}
	name := names[random.IntN(len(names))]
	d := time.Second + time.Duration(random.IntN(3000))*time.Millisecond
	share := []float64{0.3, 0.7, 0}[random.IntN(3)]
	if random.IntN(4) == 0 {
		return edgeFault(random, d, share)
	}
	return step{name: fmt.Sprintf("upstream %s for %s, share %v", name, d, share), do: func(ctx context.Context, w *world) error {
		w.upstream.SetFault(simulator.Fault{Name: name, Share: share, Until: time.Now().Add(d)})
		defer w.upstream.ClearFaults()
		return pause(ctx, d)
	}}
}

// String is the scenario for people.
func (s *scenario) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d requests over %s, %.0f %% of them duplicated, %.0f %% cancelled, %.1f %% hostile, answers up to %d ms; %d replicas (%s) with %s slots, %d NATS servers, ack wait %s\n",
		s.seed, s.count, s.spread, 100*s.duplicates, 100*s.cancelled, 100*s.hostile, s.slowest+50, s.shape.replicas, s.shape.program, s.shape.env["WORKER_CONCURRENCY"], s.shape.nodes, s.ackWait)
	for _, track := range s.tracks {
		for _, st := range track {
			fmt.Fprintf(&b, "  %6s  %s\n", st.at.Round(10*time.Millisecond), st.name)
		}
	}
	return b.String()
}

// playTrack plays steps at their times after begin, or as soon as the one
// before has ended.
func (w *world) playTrack(ctx context.Context, begin time.Time, track []step) error {
	for _, st := range track {
		if wait := time.Until(begin.Add(st.at)); wait > 0 {
			if err := pause(ctx, wait); err != nil {
				return err
			}
		}
		if err := st.do(ctx, w); err != nil {
			return fmt.Errorf("%s: %w", st.name, err)
		}
	}
	return nil
}
