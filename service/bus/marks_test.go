package bus

import (
	"sync"
	"testing"
	"time"
)

// A renewal that is under way while a mark is left does not put the claim back.
func TestRenewalsBesideAMark(t *testing.T) {
	t.Parallel()
	s, _ := testStreams(t)
	one, _ := claimsOf(s, "one", 3*time.Second)
	one.heartbeat.connected()
	held := mustTake(t, one, message(1), Admitted)
	const abreast, each = 8, 20
	var renewals sync.WaitGroup
	begun := make(chan struct{}, abreast*each)
	for range abreast {
		renewals.Go(func() {
			for range each {
				if err := one.renew(t.Context(), held); err != nil {
					t.Error(err)
				}
				begun <- struct{}{}
			}
		})
	}
	for range 2 * abreast {
		<-begun
	}
	one.leave(t.Context(), held, markReturned, remembered)
	renewals.Wait()
	if holder, _ := ParseHolder(stands(t, one, held.subject).Data); !holder.Ended() {
		t.Errorf("there is %s, want the mark", holder)
	}
}

// Whoever does not hear that its claim was stored finds it, and has started the message
// no more and no less often.
func TestStartsOfAnUnheardClaim(t *testing.T) {
	t.Parallel()
	s, _ := testStreams(t)
	mustTake(t, dead(s, "first"), message(1), Admitted)
	mustTake(t, dead(s, "second"), message(1), Admitted)
	third := dead(s, "third")
	for range 2 {
		if held := mustTake(t, third, message(1), Admitted); held.holder.Starts != 3 {
			t.Errorf("starts %d, want 3", held.holder.Starts)
		}
	}
}
