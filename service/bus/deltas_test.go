package bus

import (
	"fmt"
	"slices"
	"testing"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// Deltas reach whoever asked for them, and nobody else.
func TestDeltas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bus := b.open()
	r := events.Request{ID: servicetest.NewID(), Stream: true}
	seen, err := b.NC.SubscribeSync(b.Names.Deltas(r.ID))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	quiet := bus.Deltas(&Delivery{}, &events.Request{ID: r.ID})
	quiet.Piece(1, "not asked for")
	quiet.Done()
	d := bus.Deltas(&Delivery{}, &r)
	d.Piece(1, "a")
	d.Piece(1, "b")
	d.Piece(2, "c")
	d.Done()
	var got []string
	for range 4 {
		m, err := seen.NextMsg(servicetest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		delta, err := events.DecodeDelta(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d/%d %s %v", delta.Attempt, delta.Index, delta.Content, delta.Done))
	}
	if want := []string{"1/0 a false", "1/1 b false", "2/0 c false", "2/1  true"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
