package telemetry

import (
	"sync"
	"unicode/utf8"
)

// Bounds of the model label: requesters choose models, so without them they
// would choose how many time series we keep.
const (
	maxModels    = 50
	maxModelName = 128
	otherModels  = "other"
)

// modelSet keeps the first maxModels names it meets and folds the rest into one.
type modelSet struct {
	mu    sync.Mutex
	known map[string]struct{}
}

func newModelSet() *modelSet {
	return &modelSet{known: make(map[string]struct{}, maxModels)}
}

// fold returns the label for a model; "" stays "".
func (s *modelSet) fold(model string) string {
	if model == "" {
		return ""
	}
	if len(model) > maxModelName || !utf8.ValidString(model) {
		return otherModels
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.known[model]; !ok && len(s.known) >= maxModels {
		return otherModels
	}
	s.known[model] = struct{}{}
	return model
}
