package batchrun

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gemini-client/events"
)

// count changes the summary.
func (r *run) count(change func(*Summary)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.sum)
}

// counted counts a result that is in the output, and tells of a failure.
func (r *run) counted(l line, result events.Result) (err error) {
	r.count(func(s *Summary) {
		s.Done++
		if result.Cost != nil {
			s.Cost += *result.Cost
		}
		if result.Usage != nil {
			s.Tokens += result.Usage.TotalTokens
		}
		if result.Status == events.StatusSuccess {
			s.Completed++
			return
		}
		s.Failed++
		if r.Failures != nil {
			_, err = fmt.Fprintf(r.Failures, "line %d, request %s: %s: %s\n", l.number, result.RequestID, *result.ErrorCode, *result.Error)
		}
	})
	return err
}

// spent reports whether no more may be submitted.
func (r *run) spent() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.MaxCost > 0 && r.sum.Cost >= r.MaxCost
}

func (r *run) summary() Summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := r.sum
	sum.Took = time.Since(r.start)
	return sum
}

// tell tells of the progress until stop is called.
func (r *run) tell(ctx context.Context) (stop func()) {
	if r.Progress == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var telling sync.WaitGroup
	telling.Go(func() {
		tick := time.NewTicker(r.Every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.Progress(r.summary())
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		telling.Wait()
	}
}
