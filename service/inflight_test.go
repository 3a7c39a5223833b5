package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// A nacked request has left the registry before its message may be delivered again:
// the next delivery would else be acknowledged as a duplicate of it.
func TestNackIsTheLast(t *testing.T) {
	t.Parallel()
	var l line
	nacks := 0
	l = newLine(t, &fakeBus{settle: func(end bus.End) (bus.Settled, error) {
		if !end.Nack {
			return bus.Settled{}, errors.New("it cannot be stored")
		}
		nacks++
		if l.inFlight.has("gemini.responses", anID) {
			t.Error("it is still in flight")
		}
		return bus.Settled{}, nil
	}}, nil)
	l.deliver(t.Context(), delivery(""))
	if nacks != 1 {
		t.Errorf("nacks: got %d, want 1", nacks)
	}
}

// The same request twice at once: the second is told which message it is in flight for.
func TestInFlight(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	l := newLine(t, &fakeBus{admit: func(ask bus.Ask) bus.Admission {
		if ask.InFlight != nil {
			if ask.InFlight.Sequence != 1 || ask.Delivery.Sequence != 2 {
				t.Errorf("message %d is told of %d", ask.Delivery.Sequence, ask.InFlight.Sequence)
			}
			return bus.Admission{State: bus.Duplicate}
		}
		return bus.Admission{State: bus.Admitted, Starts: 1}
	}}, func(context.Context, events.Request) upstream.Reply {
		close(began)
		<-release
		return upstream.Reply{Answer: &upstream.Answer{Content: "hello"}}
	})
	done := make(chan struct{})
	first, second := delivery(""), delivery("")
	first.Sequence, second.Sequence = 1, 2
	go func() {
		defer close(done)
		l.deliver(t.Context(), first)
	}()
	<-began
	l.deliver(t.Context(), second)
	close(release)
	<-done
	if ends := l.bus.settled(); len(ends) != 2 || ends[0].Result != nil || ends[1].Result == nil {
		t.Errorf("got %+v", ends)
	}
	if l.inFlight.has("gemini.responses", anID) {
		t.Error("it is still in flight")
	}
}

// A cancellation ends the request's calls on every callback, and no other's.
func TestCancelByID(t *testing.T) {
	t.Parallel()
	f := newInFlight()
	ended := map[string]int{}
	leaves := map[string]func(){}
	for _, key := range []string{"a/one", "b/one", "a/two"} {
		callback, id, _ := strings.Cut(key, "/")
		leave, other := f.enter(callback, id, call{&bus.Delivery{}, func(error) { ended[key]++ }})
		if other != nil {
			t.Fatalf("%s is there already", key)
		}
		leaves[key] = leave
	}
	if _, other := f.enter("a", "one", call{}); other == nil {
		t.Error("a/one entered twice")
	}
	f.cancel(cancellation{id: "one"}, errors.New("cancelled"))
	f.cancel(cancellation{id: "unknown"}, errors.New("cancelled"))
	if !maps.Equal(ended, map[string]int{"a/one": 1, "b/one": 1}) {
		t.Errorf("ended: %v", ended)
	}
	leaves["a/one"]()
	if f.has("a", "one") || !f.has("b", "one") || len(f.all()) != 2 {
		t.Errorf("after one has left: %v", f.all())
	}
	leaves["b/one"]()
	leaves["a/two"]()
	if len(f.calls) != 0 {
		t.Errorf("after all have left: %v", f.calls)
	}
}

// What a cancellation costs must not grow with the requests in flight: anybody may
// send any number.
func BenchmarkCancelOfAStranger(b *testing.B) {
	for _, n := range []int{100, 20_000} {
		b.Run(fmt.Sprint("in_flight=", n), func(b *testing.B) {
			f := newInFlight()
			for i := range n {
				f.enter("gemini.responses", fmt.Sprint(i), call{&bus.Delivery{}, func(error) {}})
			}
			for b.Loop() {
				f.cancel(cancellation{id: anID}, upstream.ErrCancelled)
			}
		})
	}
}
