package batch_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"gemini-client/service/openrouter/simulator"
)

// Requests of a batch are answered some at a time: each waits for NATS more than once. If
// one cannot be, the batch is looked after again, and the others are not forgotten.
func TestAnswersAtOnce(t *testing.T) {
	t.Parallel()
	const together, n = 8, 40
	b := setup(t, simulator.BatchConfig{})
	for range n {
		b.ask("Why?")
	}
	b.tick(group)
	b.tick(job)
	errAway := errors.New("NATS is away")
	var mu sync.Mutex
	inHand, failed := 0, false
	met := make(chan struct{})
	b.answer = func(string) error {
		mu.Lock()
		if inHand++; inHand == together {
			close(met)
		}
		mu.Unlock()
		select {
		case <-met:
		case <-time.After(time.Minute):
			t.Error("they are answered one by one")
		}
		mu.Lock()
		defer mu.Unlock()
		if !failed {
			failed = true
			return errAway
		}
		return nil
	}
	var err error
	for next := time.Now(); !next.IsZero() && err == nil; {
		next, err = b.Tick(t.Context(), job)
	}
	if !errors.Is(err, errAway) {
		t.Fatalf("got %v, want the error of the one that failed", err)
	}
	b.finish(job)
	if got := len(b.answered); got != n {
		t.Errorf("answered: %d, want %d", got, n)
	}
}
