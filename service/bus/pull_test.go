package bus

import (
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/service/servicetest"
)

// With several copies of a stream the word that ends a pull overtakes messages
// that were delivered before it: they wait for a majority, it does not. They
// still belong to the pull; whoever left would lose them until AckWait.
func TestPullWaitsForWhatWasDelivered(t *testing.T) {
	t.Parallel()
	const batch = 3
	tests := []struct {
		name, status, text string
		pending            int // of the batch, by the status; -1: it does not say
		messages           int
		fails              bool
	}{
		{"the batch is full", "409", "Batch Completed", 0, 3, false},
		{"the next message is too large", "409", "Message Size Exceeds MaxBytes", 1, 2, false},
		{"time is up", "408", "Request Timeout", 2, 1, false},
		{"no messages", "404", "No Messages", -1, 0, false},
		{"no consumer", "409", "Consumer Deleted", -1, 0, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := servicetest.RunNATS(t)
			server, nc := n.Connect(), n.Connect()
			send := func(m *nats.Msg) {
				if err := server.PublishMsg(m); err != nil {
					t.Error(err)
				}
			}
			asked, err := server.Subscribe("next", func(m *nats.Msg) {
				end := &nats.Msg{Subject: m.Reply, Header: nats.Header{"Status": {test.status}, "Description": {test.text}}}
				if test.pending >= 0 {
					end.Header["Nats-Pending-Messages"] = []string{strconv.Itoa(test.pending)}
				}
				send(end)
				for range test.messages {
					send(&nats.Msg{Subject: m.Reply, Reply: "acknowledge.here", Data: []byte("x")})
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer asked.Unsubscribe()
			if err := server.Flush(); err != nil {
				t.Fatal(err)
			}
			taken := 0
			q := &queue{next: "next", wait: servicetest.Patience}
			in := &inbox{nc: nc}
			defer in.close()
			err = q.pull(in, batch, func(pulled) { taken++ })
			if taken != test.messages || (err != nil) != test.fails {
				t.Errorf("taken %d, error %v, want %d messages, an error %t", taken, err, test.messages, test.fails)
			}
		})
	}
}
