package bus

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Whoever reads one of several replies while the connection is closed is told that there
// are no more.
func TestClosedBetweenReplies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	heard := b.unanswered("silence")
	conn := b.connect()
	if _, err := newPublisher(conn); err != nil {
		t.Fatal(err)
	}
	reading, goOn, over := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	conn.mux.ask(&nats.Msg{Subject: "silence"}, func(_ *nats.Msg, err error) (more bool) {
		if err != nil {
			over <- err
			return false
		}
		close(reading)
		<-goOn
		return true
	})
	if err := (<-heard).Respond([]byte("the first of many")); err != nil {
		t.Fatal(err)
	}
	<-reading
	conn.Close()
	<-conn.closed
	close(goOn)
	select {
	case err := <-over:
		if !errors.Is(err, nats.ErrConnectionClosed) {
			t.Errorf("got %v", err)
		}
	case <-time.After(2 * requestTimeout):
		t.Error("it waits for ever")
	}
}
