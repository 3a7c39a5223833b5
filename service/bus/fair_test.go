package bus

import (
	"math/rand/v2"
	"testing"

	"gemini-client/events"
	"gemini-client/service/config"
)

// room is a process with slots whose calls end in random order, for queues that always
// wait.
type room struct {
	lanes
	waiting  []*contender
	inFlight map[events.Lane]int
	calls    []*contender
}

func newRoom(slots int, waiting ...*contender) *room {
	return &room{lanes: newLanes(config.Lanes{8, 1}, slots), waiting: waiting, inFlight: map[events.Lane]int{}}
}

func waits(lane events.Lane, weight float64) *contender {
	return &contender{queue: &queue{}, lane: lane, weight: weight, room: new(1 << 30)}
}

// fill gives all free slots away.
func (r *room) fill() {
	free := r.slots - len(r.calls)
	for _, one := range r.waiting {
		one.given = 0
	}
	r.divide(free, free, r.waiting, r.inFlight)
	for _, one := range r.waiting {
		one.inFlight += one.given
		for range one.given {
			r.calls = append(r.calls, one)
		}
	}
}

// finish ends calls, and returns how many of each contender.
func (r *room) finish(n int, random *rand.Rand) map[*contender]int {
	ended := map[*contender]int{}
	for range n {
		i := random.IntN(len(r.calls))
		one := r.calls[i]
		r.calls = append(r.calls[:i], r.calls[i+1:]...)
		one.inFlight--
		r.inFlight[one.lane]--
		ended[one]++
	}
	return ended
}

// TestSlotsAreShared: who waits gets the slots that its weight says, however many the
// others want, and where there are fewer slots than queues its turn.
func TestSlotsAreShared(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		slots int
		heavy float64 // the weight of one of eleven queues
	}{{1, 1}, {3, 1}, {20, 1}, {120, 10}, {200, 10}} {
		var all []*contender
		for range 10 {
			all = append(all, waits(events.LaneInteractive, 1))
		}
		all = append(all, waits(events.LaneInteractive, tt.heavy))
		r, random := newRoom(tt.slots, all...), rand.New(rand.NewPCG(1, uint64(tt.slots)))
		ended := map[*contender]int{}
		for range 20_000 {
			r.fill()
			for one, n := range r.finish(1, random) {
				ended[one] += n
			}
		}
		for i, one := range all {
			if got := float64(ended[one]) / 20_000 * (10 + tt.heavy) / one.weight; got < 0.9 || got > 1.1 {
				t.Errorf("%d slots: queue %d with weight %.0f got %.2f of its share", tt.slots, i, one.weight, got)
			}
		}
	}
}

// TestWhoUsesLittleComesFirst: a request of a queue without any in flight gets the next
// slot, though others have waited longer.
func TestWhoUsesLittleComesFirst(t *testing.T) {
	t.Parallel()
	flood, quiet := waits(events.LaneInteractive, 1), waits(events.LaneInteractive, 1)
	r := newRoom(50, flood)
	r.fill()
	if flood.inFlight != 50 {
		t.Fatalf("alone it has %d of 50 slots", flood.inFlight)
	}
	r.waiting = append(r.waiting, quiet)
	r.finish(1, rand.New(rand.NewPCG(1, 1)))
	r.fill()
	if quiet.inFlight != 1 {
		t.Error("the free slot went to the queue with 49 in flight")
	}
}

// TestLanesShare: batch has its share beside interactive requests that wait, and alone all
// but the headroom.
func TestLanesShare(t *testing.T) {
	t.Parallel()
	interactive, slow := waits(events.LaneInteractive, 1), waits(events.LaneBatch, 1)
	r, random := newRoom(90, slow), rand.New(rand.NewPCG(1, 1))
	r.fill()
	if slow.inFlight != 90-9 {
		t.Errorf("alone, batch has %d of 90 slots, want all but a tenth", slow.inFlight)
	}
	*interactive.room = 4
	r.waiting = []*contender{slow, interactive}
	r.fill()
	if interactive.inFlight != 4 || slow.inFlight != 81 {
		t.Errorf("of the headroom, interactive has %d and batch %d more", interactive.inFlight, slow.inFlight-81)
	}
	*interactive.room = 1 << 30
	ended := map[*contender]int{}
	for range 9000 {
		r.fill()
		for one, n := range r.finish(1, random) {
			ended[one] += n
		}
	}
	if slow.inFlight != 10 || interactive.inFlight != 80-1 {
		t.Errorf("while both wait, batch has %d slots and interactive %d, want 10 and 79 and a free one", slow.inFlight, interactive.inFlight)
	}
	if n := ended[slow]; n < 800 || n > 1400 {
		t.Errorf("batch ended %d of 9,000 calls, want about a ninth", n)
	}
}

// TestLanesShareALimit: what a tenant's limit has room for is shared by weight too, though
// it is so little at a time that each lane would always have some of it in flight.
func TestLanesShareALimit(t *testing.T) {
	t.Parallel()
	interactive, slow := waits(events.LaneInteractive, 1), waits(events.LaneBatch, 1)
	slow.room = interactive.room
	r, random := newRoom(90, slow, interactive), rand.New(rand.NewPCG(1, 1))
	ended := map[*contender]int{}
	for range 90 {
		*slow.room = 3
		r.fill()
		for one, n := range r.finish(3, random) {
			ended[one] += n
		}
	}
	if n := ended[slow]; n < 29 || n > 31 || ended[interactive]+n != 270 {
		t.Errorf("interactive has %d of 270 and batch %d, want 240 and 30", ended[interactive], n)
	}
}

// TestOneSlotServesBothLanes: no lane starves where there is nothing to keep free.
func TestOneSlotServesBothLanes(t *testing.T) {
	t.Parallel()
	interactive, slow := waits(events.LaneInteractive, 1), waits(events.LaneBatch, 1)
	r, random := newRoom(1, slow), rand.New(rand.NewPCG(1, 1))
	r.fill()
	if slow.inFlight != 1 {
		t.Error("alone, batch does not get the only slot")
	}
	r.waiting = append(r.waiting, interactive)
	r.finish(1, random)
	r.fill()
	if interactive.inFlight != 1 {
		t.Error("interactive does not come before batch")
	}
}

// TestNobodyHasMoreThanItMay: a bound holds, and what it leaves goes to others.
func TestNobodyHasMoreThanItMay(t *testing.T) {
	t.Parallel()
	bounded, other := waits(events.LaneInteractive, 5), waits(events.LaneInteractive, 1)
	*bounded.room = 3
	r := newRoom(20, bounded, other)
	r.fill()
	if bounded.inFlight != 3 || other.inFlight != 17 {
		t.Errorf("they have %d and %d, want 3 and 17", bounded.inFlight, other.inFlight)
	}
}

// TestOneSlotIsShared: with one slot each lane has its turns, and what does not wait for a
// while makes up for nothing afterwards.
func TestOneSlotIsShared(t *testing.T) {
	t.Parallel()
	interactive, slow := waits(events.LaneInteractive, 1), waits(events.LaneBatch, 1)
	r, random := newRoom(1, interactive, slow), rand.New(rand.NewPCG(1, 1))
	turns := func(n int) (ofSlow int) {
		for range n {
			r.fill()
			ofSlow += r.finish(1, random)[slow]
		}
		return ofSlow
	}
	if n := turns(900); n != 100 {
		t.Errorf("batch had %d of 900 turns, want 100", n)
	}
	r.waiting = []*contender{interactive}
	turns(500)
	r.waiting = []*contender{interactive, slow}
	if n := turns(18); n > 3 {
		t.Errorf("batch had %d of 18 turns after it had not waited, want 2", n)
	}
}

// TestFewSlotsServeBatch: the share of the slow lane is one slot at least, where there is
// more than one.
func TestFewSlotsServeBatch(t *testing.T) {
	t.Parallel()
	interactive, slow := waits(events.LaneInteractive, 1), waits(events.LaneBatch, 1)
	r, random := newRoom(4, interactive, slow), rand.New(rand.NewPCG(1, 1))
	n := 0
	for range 900 {
		r.fill()
		n += r.finish(1, random)[slow]
	}
	if n == 0 {
		t.Error("batch starves beside interactive requests")
	}
}
