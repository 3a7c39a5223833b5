package simulator

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// BatchConfig says how batches behave. With its zero value each GET of a batch moves it on by one status, so that the third
// finds it completed.
type BatchConfig struct {
	// Step is how long a batch stays in each status. 0: each GET of it moves it on by one; BatchManual: only AdvanceBatches does.
	Step time.Duration
	// Names is what the error of a failed batch names of the item that is to blame.
	Names BatchNames
	// NoItemCost leaves cost and cost_details out of the items' usage; the batch's always has its cost.
	NoItemCost bool
	// AllKeys shows every batch to every key, as if all keys belonged to one workspace; otherwise a key sees its own.
	AllKeys bool
	// MaxRequests and MaxBytes limit one batch; 5,000 and 200,000,000.
	MaxRequests int
	MaxBytes    int64
}

// BatchManual is a Step that never ends by itself.
const BatchManual = time.Duration(-1)

// BatchNames is what an error names of the item that made a batch fail.
type BatchNames int

// What it may name.
const (
	NamesCustomID BatchNames = iota
	NamesIndex               // its place in the list, from 0
	NamesNothing
)

// The statuses of a batch.
const (
	validating = "validating"
	inProgress = "in_progress"
	finalizing = "finalizing"
	completed  = "completed"
	failed     = "failed"
	expired    = "expired"
	cancelled  = "cancelled"
)

const (
	batchWindow   = 24 * time.Hour
	vertexWindow  = 96 * time.Hour
	batchKeepFor  = 30 * 24 * time.Hour
	batchRequests = 5_000
	batchBytes    = 200_000_000
)

// BatchInfo is a stored batch as a test sees it.
type BatchInfo struct {
	ID, Key, Model, Status   string
	CustomIDs                []string
	Created                  time.Time
	Total, Completed, Failed int
	Cost                     float64
	Deleted                  bool
}

// BatchRun is one item that was run. Status is that of its response, 0 if it has none; only one that a model answered, with
// 200, is billed.
type BatchRun struct {
	BatchID, CustomID string
	Key, Model        string
	// Prompt is the text of the last user message, markers included.
	Prompt string
	Status int
	Cost   float64
}

// batchStore keeps the batches. Its lock is taken before those of ledger and control.
type batchStore struct {
	mu      sync.Mutex
	byID    map[string]*batch
	order   []*batch // oldest first
	shift   time.Duration
	runs    []BatchRun
	runsFor map[string]int
}

// batch is a stored batch.
type batch struct {
	id, key, model     string
	window             time.Duration
	items              []batchItem // nil when they have been run
	ids                []string
	marked             []*exchange // items with markers
	fate               Fault       // how it will end, if not completed
	status             string
	moves              int
	created, finalized time.Time
	results            []string // encoded
	done, lost         int      // items: completed, failed
	usage              *batchUsage
	problem            *apiError
	deleted            bool
}

func (b *batch) ended() bool {
	return slices.Contains([]string{completed, failed, expired, cancelled}, b.status)
}

// Batches returns every batch that was stored, deleted or not, oldest first; with Config.History the newest ones.
func (s *Simulator) Batches() []BatchInfo {
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()
	infos := make([]BatchInfo, len(s.batches.order))
	for i, b := range s.batches.order {
		infos[i] = BatchInfo{
			ID: b.id, Key: b.key, Model: b.model, Status: b.status, CustomIDs: b.ids, Created: b.created,
			Total: len(b.ids), Completed: b.done, Failed: b.lost, Deleted: b.deleted,
		}
		if b.usage != nil {
			infos[i].Cost = b.usage.Cost
		}
	}
	return infos
}

// BatchRuns returns every item of a batch that was run, in the order in which that happened; with Config.History the newest.
func (s *Simulator) BatchRuns() []BatchRun {
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()
	return slices.Clone(s.batches.runs)
}

// BatchRunsFor returns how often a model has answered, in batches, exactly this last user message, markers included. Every
// time was billed.
func (s *Simulator) BatchRunsFor(prompt string) int {
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()
	return s.batches.runsFor[prompt]
}

// AdvanceBatches moves every batch that has not ended on by one status.
func (s *Simulator) AdvanceBatches() {
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()
	for _, b := range s.batches.order {
		s.move(b)
	}
}

// AdvanceBatchClock lets time pass for batches alone: their steps, their 24 hours and the 30 days they are kept.
func (s *Simulator) AdvanceBatchClock(by time.Duration) {
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()
	s.batches.shift += by
	for _, b := range s.batches.order {
		s.catchUp(b, false)
	}
}

// EndBatch ends a batch that has not ended with a status: failed, expired or cancelled. It reports whether there was one. The
// first ran items have been run and billed by then, though nobody gets their results.
func (s *Simulator) EndBatch(id, status string, ran int) bool {
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()
	b := s.batches.byID[id]
	if b == nil || b.ended() {
		return false
	}
	s.runItems(b, ran)
	s.endBatch(b, status)
	return true
}

// batchNow is the time of batches.
func (s *Simulator) batchNow() time.Time { return time.Now().Add(s.batches.shift) }

// catchUp moves a batch on as far as time, or a request that reads it, has moved it; the caller holds the lock.
func (s *Simulator) catchUp(b *batch, read bool) {
	now, step := s.batchNow(), s.config.Batch.Step
	if step > 0 {
		for ; b.moves < int(now.Sub(b.created)/step) && !b.ended(); b.moves++ {
			s.move(b)
		}
	}
	if !b.ended() && now.Sub(b.created) >= b.window {
		s.endBatch(b, expired)
	}
	if step == 0 && read {
		s.move(b)
	}
}

// move takes a batch to its next status.
func (s *Simulator) move(b *batch) {
	switch b.status {
	case validating:
		if index, problem := s.validate(b); problem != "" {
			b.problem = s.batchProblem(b, index, problem)
			s.endBatch(b, failed)
			return
		}
		b.status = inProgress
	case inProgress:
		switch b.fate.Name {
		case "batch_stuck":
			return
		case "batch_expired", "batch_cancelled":
			s.runItems(b, b.fate.arguments(s.kinds[b.fate.Name]).number("ran"))
			s.endBatch(b, strings.TrimPrefix(b.fate.Name, "batch_"))
			return
		}
		s.runItems(b, len(b.items))
		b.status = finalizing
	case finalizing:
		s.endBatch(b, completed)
	}
}

// endBatch ends a batch. Results are shown of a completed one alone.
func (s *Simulator) endBatch(b *batch, status string) {
	b.status, b.finalized, b.items = status, s.batchNow(), nil
	if status == expired {
		b.problem = &apiError{Code: "batch_expired", Message: "The batch did not finish within its completion window"}
	}
	s.ledger.update(func(stats *Stats) { stats.BatchesEnded++ })
}

// visible returns a batch that a key may see, nil if there is none.
func (s *Simulator) visible(id, key string) *batch {
	b := s.batches.byID[id]
	if b == nil || b.deleted || b.key != key && !s.config.Batch.AllKeys || s.batchNow().Sub(b.created) >= batchKeepFor {
		return nil
	}
	return b
}
