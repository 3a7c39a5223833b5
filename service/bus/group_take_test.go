package bus

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// What nobody waits for any more when its round begins is not sent.
func TestAbandonedMessagesAreNotSent(t *testing.T) {
	t.Parallel()
	b := setup(t, storedTogether)
	s := b.streams()
	g := s.publisher.groupOf(b.claimOf("x", expectLast(0)))
	over := make(chan struct{})
	g.mu.Lock()
	g.open++ // a round is under way
	g.mu.Unlock()
	told := make(chan error, 1)
	s.publisher.post(posted{m: b.claimOf("abandoned", expectLast(0)), done: func(uint64, error) { t.Error("somebody was told") }, over: over})
	s.publisher.publish(b.claimOf("awaited", expectLast(0)), func(_ uint64, err error) { told <- err })
	close(over)
	g.answered(1, nil)
	if err := <-told; err != nil {
		t.Fatal(err)
	}
	if all := b.Stored(b.Names.ClaimsStream()); len(all) != 1 || string(all[0].Body) != "awaited" {
		t.Errorf("%d are stored, the first of them %s", len(all), all[0].Body)
	}
}

// What is large, or has no condition, is not stored with others, and neither is what goes
// to another stream.
func TestMessagesThatAreNotGrouped(t *testing.T) {
	t.Parallel()
	b := setup(t, storedTogether)
	s := b.streams()
	large := b.resultOf(servicetest.NewID())
	large.Data = make([]byte, groupMessage+1)
	elsewhere := b.resultOf(servicetest.NewID())
	elsewhere.Subject = b.Names.Deadletter("internal", "x")
	for name, m := range map[string]*nats.Msg{"large": large, "without a condition": b.claimOf("x"), "elsewhere": elsewhere} {
		if s.publisher.groupOf(m) != nil {
			t.Errorf("%s: it is grouped", name)
		}
	}
	if claims, results := s.publisher.groupOf(b.claimOf("x", expectLast(0))), s.publisher.groupOf(b.resultOf(servicetest.NewID())); claims == nil || results == nil || claims == results {
		t.Errorf("claims have group %p and results %p", claims, results)
	}
}

// FuzzTake has messages of few requests wait, and looks at the rounds that are taken:
// each message is in one, none with another of its request, and those of one request in
// their order.
func FuzzTake(f *testing.F) {
	f.Add([]byte{1, 2, 3, 1, 1}, true)
	f.Add(make([]byte, 300), false)
	f.Fuzz(func(t *testing.T, data []byte, allowed bool) {
		g := &group{allowed: allowed}
		over := make(chan struct{})
		close(over)
		body, want := make([]byte, 255<<7), 0
		for i, b := range data {
			w := posted{m: &nats.Msg{Subject: events.Completed("x", fmt.Sprint(b%64)), Data: body[:int(b)<<7], Reply: fmt.Sprint(i)}}
			if b == 255 {
				w.over = over
			} else {
				want++
			}
			g.waiting = append(g.waiting, w)
		}
		last, got := map[string]int{}, 0
		for len(g.waiting) > 0 {
			r := g.take()
			there := map[string]bool{}
			if r.together != (allowed && len(r.messages) >= groupLeast) || len(r.messages) > groupMost {
				t.Fatalf("%d messages together: %v", len(r.messages), r.together)
			}
			for _, w := range r.messages {
				var place int
				if _, err := fmt.Sscan(w.m.Reply, &place); err != nil || there[w.m.Subject] || place+1 <= last[w.m.Subject] {
					t.Fatalf("%s at %d after %d, twice: %v", w.m.Subject, place, last[w.m.Subject]-1, there[w.m.Subject])
				}
				there[w.m.Subject], last[w.m.Subject] = true, place+1
				got++
			}
		}
		if got != want {
			t.Errorf("%d of %d messages were taken", got, want)
		}
	})
}
