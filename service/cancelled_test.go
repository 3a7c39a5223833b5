package service

import (
	"context"
	"errors"
	"testing"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// Whoever reads the cancellations is never held up by those who answer them.
func TestTooManyCancellations(t *testing.T) {
	t.Parallel()
	w := newCancelledWaiting(newLine(t, &fakeBus{}, nil).handler)
	for range cancelBacklog + 10 {
		w.add("", anID)
	}
	if len(w.due) != cancelBacklog {
		t.Errorf("cancellations kept: %d, want %d", len(w.due), cancelBacklog)
	}
}

// A waiting request is answered as cancelled, unless somebody works on it or has
// answered it.
func TestCancelWaiting(t *testing.T) {
	t.Parallel()
	scheduled := func(string, string) *bus.Delivery {
		d := delivery("")
		d.Retried = true
		return d
	}
	other := func(string, string) *bus.Delivery {
		d := scheduled("", "")
		d.Body = []byte(`{"request_id":"00000000-0000-4000-8000-000000000002","prompt":"x"}`)
		return d
	}
	tests := map[string]struct {
		waiting func(callback, id string) *bus.Delivery
		state   bus.State
		here    bool // this process works on it
		stored  bool
	}{
		"it waits":                    {scheduled, bus.Cancelled, false, true},
		"not yet known as cancelled":  {scheduled, bus.Admitted, false, true},
		"a newer schedule waits":      {scheduled, bus.Rescheduled, false, true},
		"nothing waits":               {nil, bus.Admitted, false, false},
		"another request of its name": {other, bus.Admitted, false, false},
		"this process works on it":    {scheduled, bus.Admitted, true, false},
		"another process does":        {scheduled, bus.Busy, false, false},
		"it was answered":             {scheduled, bus.Answered, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLine(t, &fakeBus{waiting: tt.waiting, admit: func(bus.Ask) bus.Admission { return bus.Admission{State: tt.state, Starts: 1} }}, nil)
			if tt.here {
				leave, _ := l.inFlight.enter("gemini.responses", anID, call{&bus.Delivery{}, func(error) {}})
				defer leave()
			}
			l.cancelWaiting(t.Context(), "gemini.responses", cancellation{id: anID})
			stored := 0
			for _, end := range l.bus.settled() {
				if end.Result != nil {
					stored++
					if *end.Result.ErrorCode != events.Cancelled {
						t.Errorf("stored: %+v", end.Result)
					}
				}
			}
			if want := map[bool]int{true: 1}[tt.stored]; stored != want {
				t.Errorf("results stored: %d, want %d", stored, want)
			}
			if lines := l.logged(t, "request failed"); len(lines) != stored {
				t.Errorf("log: got %v", lines)
			}
		})
	}
}

// A cancellation ends the calls in flight and has the schedules looked at, on
// every callback.
func TestCancellationIsHeard(t *testing.T) {
	t.Parallel()
	looked := make(chan string, 10)
	l := newLine(t, &fakeBus{waiting: func(callback, _ string) *bus.Delivery { looked <- callback; return nil }}, nil)
	l.queue.CallbackAllow = []string{"gemini.responses.a", "gemini.responses.b"}
	w := newCancelledWaiting(l.handler)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx)
	}()
	cause := make(chan error, 1)
	leave, _ := l.inFlight.enter("gemini.responses.a", anID, call{&bus.Delivery{}, func(err error) { cause <- err }})
	defer leave()
	w.add("", anID)
	if err := <-cause; !errors.Is(err, upstream.ErrCancelled) {
		t.Errorf("the call ended with %v", err)
	}
	for _, want := range []string{"gemini.responses.a", "gemini.responses.b"} {
		if got := <-looked; got != want {
			t.Errorf("looked at %s, want %s", got, want)
		}
	}
	cancel()
	<-done
}

// What enters while the process is stopping is told so at once.
func TestEnterWhileStopping(t *testing.T) {
	t.Parallel()
	f := newInFlight()
	f.interrupt(upstream.ErrStopping)
	var cause error
	leave, other := f.enter("c", anID, call{&bus.Delivery{}, func(err error) { cause = err }})
	defer leave()
	if other != nil || !errors.Is(cause, upstream.ErrStopping) {
		t.Errorf("got %v, %v", other, cause)
	}
}

// After an absence of NATS the requests in flight are looked up: those that were
// cancelled unheard end, and a failure to look ends nothing.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	looked := make(chan string, 10)
	l := newLine(t, &fakeBus{cancels: func(id string) (bool, error) { looked <- id; return id == anID, nil }}, nil)
	w := newCancelledWaiting(l.handler)
	w.resumed()
	w.resumed() // it never blocks
	cause := make(chan error, 1)
	for _, id := range []string{anID, "another"} {
		leave, _ := l.inFlight.enter("gemini.responses", id, call{&bus.Delivery{}, func(err error) { cause <- err }})
		defer leave()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx)
	}()
	if err := <-cause; !errors.Is(err, upstream.ErrCancelled) {
		t.Errorf("the call ended with %v", err)
	}
	<-looked
	<-looked
	cancel()
	<-done
	if len(cause) != 0 || len(looked) != 0 {
		t.Errorf("%d more calls ended, %d more looks", len(cause), len(looked))
	}
}
