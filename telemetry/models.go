package telemetry

import (
	"sync"
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

// modelSet keeps the first names it meets and folds the rest into one.
type modelSet struct {
	mu        sync.Mutex
	known     map[string]bool // whether the model has answered, or is ours
	strangers int             // of those, how many have not
}

func newModelSet() *modelSet {
	return &modelSet{known: make(map[string]bool, maxModels)}
}

// fold returns the label for a model; "" stays "".
func (s *modelSet) fold(model string) string {
	if model == "" {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.known[model]; there {
		return model
	}
	if !fitsLabel(model) || s.strangers >= maxStrangers || len(s.known) >= maxModels {
		return otherModels
	}
	s.known[model] = false
	s.strangers++
	return model
}

// answered records that there is such a model.
func (s *modelSet) answered(model string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	well, there := s.known[model]
	switch {
	case well || !fitsLabel(model):
	case there:
		s.known[model] = true
		s.strangers--
	case len(s.known) < maxModels:
		s.known[model] = true
	}
}

func fitsLabel(model string) bool {
	return model != "" && len(model) <= maxModelName && utf8.ValidString(model)
}
