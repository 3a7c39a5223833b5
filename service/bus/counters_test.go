package bus

import (
	"errors"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
)

// TestCountersAreShared: what two workers add at the same time is counted once each, and
// what is repeated under its id not again.
func TestCountersAreShared(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	one, other := b.open(), b.open()
	counter := one.names.BudgetsAll()[:len(one.names.BudgetsAll())-1] + "test"
	const each = 200
	var adding sync.WaitGroup
	for _, worker := range []*Bus{one, other} {
		adding.Go(func() {
			for range each {
				if _, err := worker.Add(b.Context(), counter, 3, ""); err != nil {
					t.Errorf("add: %v", err)
				}
			}
		})
	}
	adding.Wait()
	if total, err := one.Add(b.Context(), counter, -1, "once"); err != nil || total != 2*each*3-1 {
		t.Errorf("the total is %d, %v, want %d", total, err, 2*each*3-1)
	}
	if _, err := other.Add(b.Context(), counter, -1, "once"); !errors.Is(err, ErrCounted) {
		t.Errorf("repeating it: %v, want ErrCounted", err)
	}
	if total, err := one.Add(b.Context(), counter, 0, ""); err != nil || total != 2*each*3-1 {
		t.Errorf("after the repetition it is %d, %v", total, err)
	}
	if _, err := one.Add(b.Context(), "nobody.counts.this", 1, ""); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a counter in no stream: %v", err)
	}
}

func TestAnswersToAnIncrement(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]int64{
		`{"stream":"S","seq":7,"val":"12"}`: 12, `{"stream":"S","seq":7,"val":"-5"}`: -5, `{"stream":"S","seq":7,"val":"0","duplicate": true}`: 0,
	} {
		if got, err := readTotal([]byte(answer)); err != nil || got != want {
			t.Errorf("%s is %d, %v", answer, got, err)
		}
	}
	for _, answer := range []string{"", "{}", "[]", `{"val":"x"}`, `{"val":"99999999999999999999"}`, `{"duplicate":true}`, `{"error":{"code":400}}`} {
		if got, err := readTotal([]byte(answer)); err == nil {
			t.Errorf("%s is %d, want an error", answer, got)
		}
	}
}
