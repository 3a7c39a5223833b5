//go:build integration

package stack

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/service/openrouter/simulator"
)

// NATS goes away while requests are in flight, for less than ACK_WAIT: that
// costs delay, never a result, and no call is paid twice.
func TestNATSGoesAway(t *testing.T) {
	t.Parallel()
	outages := map[string]func(*natsServer){
		"restarted": func(n *natsServer) { n.restart() },
		"killed":    func(n *natsServer) { n.kill(); n.start() },
		"paused": func(n *natsServer) {
			missed := n.watched()
			n.paused(missed)
		},
	}
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			net := s.network()
			n := s.nats("nats", fmt.Sprintf(single, "nats"), on(net, "nats"))
			up := s.upstream(simulator.Config{})
			w := s.worker("worker", up.serving(10, 40*time.Second), on(net, "worker"))
			l := newLoad(s.backend(n.url), up)
			release := l.fill(200, 40, 10, w)
			release() // their answers find nobody to take them
			outage(n)
			if up.Count() == len(l.questions) && up.InFlight() == 0 {
				t.Error("nothing was left to do when NATS was back")
			}
			l.settled()
			l.paidOnce()
			w.leave()
		})
	}
}

// watched connects a client that pings as the service does, but more often: it
// gives the server up after three unanswered pings, 12 s, in which the service has
// missed one of its own (10 s). The returned function waits for that.
func (n *natsServer) watched() (missed func()) {
	n.stage.t.Helper()
	lost := make(chan struct{}, 1)
	nc, err := nats.Connect(n.url, nats.PingInterval(4*time.Second), nats.MaxPingsOutstanding(2), nats.NoReconnect(), nats.Timeout(10*time.Second),
		nats.ClosedHandler(func(*nats.Conn) { lost <- struct{}{} }))
	n.stage.must("connect", err)
	n.stage.t.Cleanup(nc.Close)
	return func() {
		n.stage.t.Helper()
		select {
		case <-lost:
		case <-time.After(patience):
			n.stage.t.Fatal("a paused server answers pings")
		}
	}
}
