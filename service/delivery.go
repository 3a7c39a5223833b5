package service

import (
	"fmt"
	"time"
)

// delivery is one message as the handler sees it: what was sent and where it
// lies, nothing of NATS's client.
type delivery struct {
	Body       []byte
	Header     map[string][]string
	Stream     string    // the queue it was taken from
	Sequence   uint64    // its place in that queue
	Deliveries uint64    // how often it was delivered, this time included
	Stored     time.Time // when the queue stored it
	Taken      time.Time // when this process got it
}

// message names the queue message, so that two deliveries of one message can
// be told from two messages with the same request.
func (d delivery) message() string { return fmt.Sprintf("%s %d", d.Stream, d.Sequence) }

// settlement is what the consumer does with the message in the end: the zero
// value acknowledges it.
type settlement struct {
	again bool          // give it back, else acknowledge it
	after time.Duration // give it back so much later
}

func giveBack(after time.Duration) settlement { return settlement{again: true, after: after} }
