package inprocess_test

import (
	"testing"

	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// flood publishes cancellations of requests that nobody ever made.
func (b *bench) flood(n int) {
	b.t.Helper()
	before := b.stream(b.Names.CancelsStream()).LastSeq
	for i := range n {
		if _, err := b.JS.PublishAsync(b.Names.Cancel(servicetest.NewID()), nil); err != nil {
			b.t.Fatal(err)
		}
		if i%1000 == 999 {
			<-b.JS.PublishAsyncComplete()
		}
	}
	if got := b.stream(b.Names.CancelsStream()).LastSeq - before; got != uint64(n) {
		b.t.Fatalf("stored: %d of %d", got, n)
	}
}

// 100,000 cancellations of nothing make nobody forget the one that matters, of a
// request that waits for its turn or is in flight.
func TestFloodOfCancellations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	waits := b.Ask("waits in the queue", nil)
	b.cancel(waits)
	b.flood(100_000)
	release := b.openrouter.Hold()
	defer release()
	b.start()
	if got := b.Result(waits); !isCancelled(got.Result) {
		t.Errorf("result: %s", got.Body)
	}
	runs := b.Ask("is in flight", nil)
	if err := b.openrouter.Wait(b.Context(), func(s simulator.Stats) bool { return s.Started == 1 }); err != nil {
		t.Fatal(err)
	}
	b.flood(10_000)
	b.cancel(runs)
	if got := b.Result(runs); !isCancelled(got.Result) { // its call is still held
		t.Errorf("result: %s", got.Body)
	}
	b.Idle()
	if n := b.openrouter.Count(); n != 1 {
		t.Errorf("calls: got %d, want 1", n)
	}
}
