package service

import (
	"context"
	"testing"

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
