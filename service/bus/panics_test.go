package bus

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"gemini-client/events"
)

// A start that a panic ended is counted by the next one, wherever that is, at once.
func TestAbandonedClaim(t *testing.T) {
	t.Parallel()
	s, _ := testStreams(t)
	one, _ := process(t, s, "one")
	two, _ := process(t, s, "two")
	for n, c := range []*claims{one, one, two, one} {
		held := mustTake(t, c, message(1), Admitted)
		if held.holder.Starts != n+1 {
			t.Errorf("start %d: counted as %d", n+1, held.holder.Starts)
		}
		c.leave(t.Context(), held, markCrashed, remembered)
	}
	held := mustTake(t, two, message(1), Admitted)
	two.leave(t.Context(), held, markReturned, remembered)
	if held := mustTake(t, two, message(1), Admitted); held.holder.Starts != 1 {
		t.Errorf("after it was given back: counted as %d", held.holder.Starts)
	}
}

// What panics where no claim counts it ends as a dead letter.
func TestPanicWithoutAClaim(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		d      Delivery
		refuse error // of the dead letter
		want   []string
	}{
		"claimed":         {Delivery{Deliveries: panicsMost + 1, claim: &claim{}}, nil, []string{"nack crashed"}},
		"not claimed":     {Delivery{Deliveries: panicsMost}, nil, []string{"nack crashed"}},
		"too often":       {Delivery{Deliveries: panicsMost + 1}, nil, []string{"dead letter internal"}},
		"it is not taken": {Delivery{Deliveries: panicsMost + 1}, errors.New("no"), []string{"dead letter internal", "nack crashed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			in := &intake{log: slog.New(slog.DiscardHandler), settle: func(_ context.Context, _ *Delivery, end End) (Settled, error) {
				switch {
				case end.DeadLetter != nil && end.DeadLetter.Code == events.Internal:
					got = append(got, "dead letter internal")
					return Settled{}, tt.refuse
				case end.Nack && end.Crashed && end.After == time.Second:
					got = append(got, "nack crashed")
				}
				return Settled{}, nil
			}}
			in.leave(t.Context(), &slot{queue: &queue{ackWait: time.Second}}, &tt.d, true)
			if len(got) != len(tt.want) || got[0] != tt.want[0] || got[len(got)-1] != tt.want[len(tt.want)-1] {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
