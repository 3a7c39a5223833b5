package telemetry

import (
	"maps"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// Bounds of the model label: requesters choose models, so without them they
// would choose how many time series we keep. Half of the places are for models
// that have answered, so that invented names cannot take them all.
const (
	maxModels    = 50
	maxStrangers = maxModels / 2
	maxModelName = 128
	otherModels  = "other"
)

// modelSet keeps the first names it meets and folds the rest into one. It is asked
// several times for each request and hardly ever changed, so reading takes no lock.
type modelSet struct {
	known     atomic.Pointer[map[string]bool] // whether the model has answered, or is ours
	mu        sync.Mutex                      // of writers
	strangers int                             // of those, how many have not
}

func newModelSet() *modelSet {
	s := &modelSet{}
	s.known.Store(&map[string]bool{})
	return s
}

// fold returns the label for a model; "" stays "".
func (s *modelSet) fold(model string) string {
	if model == "" {
		return ""
	}
	if _, there := (*s.known.Load())[model]; there {
		return model
	}
	if !fitsLabel(model) {
		return otherModels
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := *s.known.Load()
	if _, there := known[model]; there {
		return model
	}
	if s.strangers >= maxStrangers || len(known) >= maxModels {
		return otherModels
	}
	s.strangers++
	s.put(model, false)
	return model
}

// answered records that there is such a model.
func (s *modelSet) answered(model string) {
	if (*s.known.Load())[model] || !fitsLabel(model) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := *s.known.Load()
	well, there := known[model]
	switch {
	case well:
	case there:
		s.strangers--
		s.put(model, true)
	case len(known) < maxModels:
		s.put(model, true)
	}
}

// put replaces what is known by what is known now: others are reading it.
func (s *modelSet) put(model string, answered bool) {
	known := maps.Clone(*s.known.Load())
	known[model] = answered
	s.known.Store(&known)
}

func fitsLabel(model string) bool {
	return model != "" && len(model) <= maxModelName && utf8.ValidString(model)
}
