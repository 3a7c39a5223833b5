package service

import (
	"context"
	"errors"
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

// The same request twice at once: the second is told to be in flight.
func TestInFlight(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	l := newLine(t, &fakeBus{admit: func(ask bus.Ask) bus.Admission {
		if ask.InFlight {
			return bus.Admission{State: bus.Duplicate}
		}
		return bus.Admission{State: bus.Admitted, Starts: 1}
	}}, func(context.Context, events.Request) upstream.Reply {
		close(began)
		<-release
		return upstream.Reply{Answer: &upstream.Answer{Content: "hello"}}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.deliver(t.Context(), delivery(""))
	}()
	<-began
	l.deliver(t.Context(), delivery(""))
	close(release)
	<-done
	if ends := l.bus.settled(); len(ends) != 2 || ends[0].Result != nil || ends[1].Result == nil {
		t.Errorf("got %+v", ends)
	}
	if l.inFlight.has("gemini.responses", anID) {
		t.Error("it is still in flight")
	}
}
