package simulator

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// control is the state that a test changes while the simulator serves: the server's faults, the gates
// that hold calls and the models that are retired.
type control struct {
	mu         sync.Mutex
	faults     []Fault
	hits       []int            // how often each of faults was played
	markerHits map[uint64][]int // the same for the markers of a prompt, by the prompt's hash
	gates      []chan struct{}
	retired    map[string]Retirement

	expirations map[string]string // as in Config
	keys        map[string]KeySettings
}

// SetFault sets the faults of the server: every following call gets the first of them that covers it. They replace the
// earlier ones. A call that meets an invalid fault gets a 400 that names the problem.
func (s *Simulator) SetFault(faults ...Fault) {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	s.control.faults = slices.Clone(faults)
	s.control.hits = make([]int, len(faults))
}

// ClearFaults removes the faults of the server; markers in prompts keep their effect.
func (s *Simulator) ClearFaults() { s.SetFault() }

// Hold makes every call that arrives from now on wait, in flight and unanswered, until release is called. Faults are
// chosen after the release. Several holds add up; release may be called more than once.
func (s *Simulator) Hold() (release func()) {
	gate := make(chan struct{})
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	s.control.gates = append(s.control.gates, gate)
	return sync.OnceFunc(func() {
		s.control.mu.Lock()
		defer s.control.mu.Unlock()
		s.control.gates = slices.DeleteFunc(s.control.gates, func(g chan struct{}) bool { return g == gate })
		close(gate)
	})
}

// hold waits for the gates that are closed when it is called.
func (s *Simulator) hold(r *http.Request) error {
	s.control.mu.Lock()
	gates := slices.Clone(s.control.gates)
	s.control.mu.Unlock()
	if len(gates) == 0 {
		return nil
	}
	s.ledger.update(func(stats *Stats) { stats.Held++ })
	defer s.ledger.update(func(stats *Stats) { stats.Held-- })
	for _, gate := range gates {
		if err := await(s, r, gate); err != nil {
			return err
		}
	}
	return nil
}

// serverFault returns the server's fault for this call, if any.
func (s *Simulator) serverFault(e *exchange) (Fault, bool) {
	if f, raging := s.storm(time.Now()); raging {
		return f, true
	}
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	return s.pick(s.control.faults, s.control.hits, e)
}

// markerFault returns the fault that the call's own prompt asks for, if any.
func (s *Simulator) markerFault(e *exchange) (Fault, bool) {
	if len(e.markers) == 0 {
		return Fault{}, false
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(e.call.Prompt))
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	hits, known := s.control.markerHits[hash.Sum64()]
	if !known {
		hits = make([]int, len(e.markers))
		if slices.ContainsFunc(e.markers, func(f Fault) bool { return f.Times > 0 }) {
			s.control.markerHits[hash.Sum64()] = hits
		}
	}
	return s.pick(e.markers, hits, e)
}

// pick returns the first fault that covers the call and is not used up, and counts it; the caller holds the lock.
func (s *Simulator) pick(faults []Fault, hits []int, e *exchange) (Fault, bool) {
	for i, f := range faults {
		if f.Times > 0 && hits[i] >= f.Times || !s.covers(f, e) {
			continue
		}
		hits[i]++
		return f, true
	}
	return Fault{}, false
}

// covers reports whether the fault applies to this call.
func (s *Simulator) covers(f Fault, e *exchange) bool {
	switch {
	case !s.concerns(f, e):
		return false
	case !f.Until.IsZero() && !time.Now().Before(f.Until):
		return false
	case f.Key != "" && !strings.HasSuffix(e.call.Key, f.Key):
		return false
	case f.Model != "" && f.Model != e.call.Model:
		return false
	case f.spares(e.asked.limit()), f.Name == flexCapacity && !e.asked.sticksToFlex():
		return false
	case f.Share > 0 && s.chance(e.call.Number, f.Name) >= f.Share:
		return false
	}
	return true
}

// randomFault returns the fault that Config.ErrorRate gives this call, if any.
func (s *Simulator) randomFault(e *exchange) (Fault, bool) {
	if s.config.ErrorRate <= 0 || s.chance(e.call.Number, "error rate") >= s.config.ErrorRate {
		return Fault{}, false
	}
	names := []string{"500", "502", "503", "504", "529"}
	return Fault{Name: names[int(s.chance(e.call.Number, "which error")*float64(len(names)))]}, true
}

// storm returns the 429 storm of that moment, if any.
func (s *Simulator) storm(now time.Time) (Fault, bool) {
	storm := s.config.Storm
	if storm.Every <= 0 || storm.For <= 0 {
		return Fault{}, false
	}
	phase := now.Sub(s.born) % storm.Every
	if phase < storm.Every-storm.For {
		return Fault{}, false
	}
	return Storm429(now.Add(storm.Every - phase)), true
}

// chance returns a number in [0, 1) that depends on nothing but the seed, the call's number and what it is for, so that
// goroutines racing each other do not change which calls fail.
func (s *Simulator) chance(number int, purpose string) float64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d/%s", s.config.Seed, number, purpose))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}
