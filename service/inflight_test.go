package service

import (
	"context"
	"testing"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

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
