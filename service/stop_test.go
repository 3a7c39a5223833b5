package service

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gemini-client/events"
	"gemini-client/service/upstream"
)

// Who is cut off at the end of the process is given back, and nothing is
// published; an answer that came is paid for and stored.
func TestStopping(t *testing.T) {
	t.Parallel()
	for _, paid := range []bool{false, true} {
		began := make(chan struct{})
		l := newLine(t, &fakeBus{}, func(ctx context.Context, _ events.Request) upstream.Reply {
			close(began)
			<-ctx.Done()
			if paid {
				return upstream.Reply{Answer: &upstream.Answer{Content: "hello"}, Attempts: 1}
			}
			return upstream.Reply{Err: &upstream.Error{Code: events.Internal}, Attempts: 1}
		})
		go func() {
			<-began
			l.inFlight.interrupt(upstream.ErrStopping)
		}()
		l.deliver(t.Context(), delivery(""))
		if end := l.only(t); end.Nack == paid || (end.Result != nil) != paid {
			t.Errorf("paid %v: got %+v", paid, end)
		}
	}
}

// A stop does not forget that an answer did not come in time before: it may have
// been billed, and counts, though no bill of it is known.
func TestStoppingAfterATimeout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		timedOut bool
		bill     events.Bill
		want     map[string]string // of the schedule; nil: a nack
	}{
		"neither":              {false, events.Bill{}, nil},
		"a timeout":            {true, events.Bill{}, map[string]string{events.HeaderRetryCount: "2", events.HeaderStrikes: "0", events.HeaderTimeouts: "2"}},
		"a bill":               {false, events.Bill{Cost: new(0.5)}, map[string]string{events.HeaderRetryCount: "2", events.HeaderStrikes: "0", events.HeaderBilled: `{"cost":0.5}`}},
		"a timeout and a bill": {true, events.Bill{Cost: new(0.5)}, map[string]string{events.HeaderRetryCount: "2", events.HeaderStrikes: "0", events.HeaderBilled: `{"cost":0.5}`, events.HeaderTimeouts: "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := make(chan struct{})
			l := newLine(t, &fakeBus{}, func(ctx context.Context, _ events.Request) upstream.Reply {
				close(began)
				<-ctx.Done()
				return upstream.Reply{Err: &upstream.Error{Code: events.Internal}, Attempts: 2, TimedOut: c.timedOut, Usage: upstream.Usage{Bill: c.bill}}
			})
			go func() {
				<-began
				l.inFlight.interrupt(upstream.ErrStopping)
			}()
			d := delivery("")
			d.Header = map[string][]string{events.HeaderRetryCount: {"2"}, events.HeaderTimeouts: {"1"}}
			l.deliver(t.Context(), d)
			end := l.only(t)
			if end.Nack != (c.want == nil) || (end.Schedule != nil) != (c.want != nil) {
				t.Fatalf("got %+v, want a schedule %v", end, c.want)
			}
			if end.Schedule != nil {
				if diff := cmp.Diff(c.want, end.Schedule.Header); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}
