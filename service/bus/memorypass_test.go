package bus

import "testing"

// TestNobodyWaitsForAQueueThatIsNotAsked: a message that did not fit keeps no other queue
// waiting when its own is not asked any more.
func TestNobodyWaitsForAQueueThatIsNotAsked(t *testing.T) {
	t.Parallel()
	const largest = 1 << 20
	gone, other := &queue{}, &queue{}
	m := newMemory(4 * largest * bodyCost)
	granted, _ := m.grant(gone, largest, largest/2)
	m.ended(gone, granted/2, largest, true)
	if n, _ := m.grant(other, largest, largest); n != 0 || !m.blocks(gone) {
		t.Fatalf("the other queue may ask for %d bytes", n)
	}
	m.passOthers([]*queue{gone, other})
	if !m.blocks(gone) {
		t.Error("a queue that is asked was passed")
	}
	m.passOthers([]*queue{other})
	if n, _ := m.grant(other, largest, largest); n == 0 {
		t.Error("the other queue waits for one that is not asked")
	}
}
