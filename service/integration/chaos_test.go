//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// seedsByDefault is how many seeds are run when nobody says otherwise.
const seedsByDefault = 3

// TestChaos plays scenarios. CHAOS_SEEDS says how many (seeds 1, 2, …),
// CHAOS_SEED names the only one.
func TestChaos(t *testing.T) {
	t.Parallel()
	for _, seed := range seeds(t) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("seed %d failed; to play it again: make chaos SEED=%d", seed, seed)
				}
			})
			play(t, newScenario(seed))
		})
	}
}

func seeds(t *testing.T) []uint64 {
	t.Helper()
	if one := os.Getenv("CHAOS_SEED"); one != "" {
		seed, err := strconv.ParseUint(one, 10, 64)
		if err != nil {
			t.Fatalf("CHAOS_SEED=%s: %v", one, err)
		}
		return []uint64{seed}
	}
	n := seedsByDefault
	if many := os.Getenv("CHAOS_SEEDS"); many != "" {
		var err error
		if n, err = strconv.Atoi(many); err != nil {
			t.Fatalf("CHAOS_SEEDS=%s: %v", many, err)
		}
	}
	var all []uint64
	for i := range n {
		all = append(all, uint64(i+1))
	}
	return all
}

// play runs a scenario and checks the promises.
func play(t *testing.T, s *scenario) {
	t.Helper()
	t.Log(s)
	w := newWorld(t, s.shape)
	questions, queue, junk := s.requests()
	tracks := append(s.tracks, s.cancels(questions))
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	w.run()
	begin := time.Now()
	var wg sync.WaitGroup
	failures := make([]error, len(tracks)+1)
	wg.Go(func() { failures[len(tracks)] = w.publish(ctx, queue, s.spread) })
	for i, track := range tracks {
		wg.Go(func() { failures[i] = w.playTrack(ctx, begin, track) })
	}
	wg.Wait()
	w.must(errors.Join(failures...))
	over := time.Now()
	w.settled(2*time.Minute, len(questions))
	settled := time.Now()
	w.leave()
	results := w.checkStreams(questions)
	again := w.checkCalls(s.excuses(w))
	w.checkCancelled(questions)
	w.checkJunk(junk)
	t.Logf("seed %d: %d messages for %d requests, %d results (%d cancelled), %d calls, %d of them again for a death; faults over after %s, the rest settled %s later",
		s.seed, len(queue), len(questions), len(results), cancelledOf(results), w.upstream.Count(), again, over.Sub(begin).Round(time.Second), settled.Sub(over).Round(time.Second))
}

// requests are the questions, and the messages that ask them: some of them
// several times, some of these much later. junk is how many have no usable id.
func (s *scenario) requests() (questions []question, queue [][]byte, junk int) {
	random := rand.New(rand.NewPCG(s.seed, 1))
	for i := range s.count {
		q := ask(i, time.Duration(50+random.IntN(s.slowest))*time.Millisecond)
		questions = append(questions, q)
		queue = append(queue, q.body())
		if random.Float64() < s.duplicates {
			for range 1 + random.IntN(3) {
				if again := questions[random.IntN(len(questions))]; again.prompt != "" {
					queue = append(queue, again.body())
				}
			}
		}
		if random.Float64() >= s.hostile {
			continue
		}
		hostile, body := hostileRequest(random)
		if queue = append(queue, body); hostile.id == "" {
			junk++
		} else {
			questions = append(questions, hostile)
		}
	}
	return questions, queue, junk
}

// excuses are the reasons for which the scenario allows a second call of a
// request. An absence of NATS is one only if it outlasts a lease.
func (s *scenario) excuses(w *world) excuses {
	e := excuses{deaths: w.deaths(), timeout: firstToken}
	if s.ackWait < longAckWait {
		for _, o := range w.outages {
			e.outages = append(e.outages, span{o.from, o.to.Add(s.ackWait)})
		}
	}
	return e
}
