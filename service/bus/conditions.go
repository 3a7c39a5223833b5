package bus

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// condition is a header by which JetStream stores a message in a special way, or
// not at all.
type condition func(nats.Header)

func header(name, value string) condition {
	return func(h nats.Header) { h[name] = []string{value} }
}

// withTTL has a message removed after a time.
func withTTL(ttl time.Duration) condition { return header(jetstream.MsgTTLHeader, ttl.String()) }

// withID makes a second message with the same id within the stream's duplicate window
// none.
func withID(id string) condition { return header(jetstream.MsgIDHeader, id) }

// expectLast refuses the message unless the last one of its subject has a sequence; 0
// is that of none.
func expectLast(sequence uint64) condition {
	return header(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(sequence, 10))
}

// expectLastOf is expectLast for a filter of subjects.
func expectLastOf(filter string, sequence uint64) condition {
	return func(h nats.Header) {
		expectLast(sequence)(h)
		h[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{filter}
	}
}

// scheduled has a message delivered to another subject of its stream at a time
// (ADR-51).
func scheduled(at time.Time, target string) condition {
	return func(h nats.Header) {
		h[jetstream.ScheduleHeader] = []string{"@at " + at.UTC().Format(time.RFC3339)}
		h[jetstream.ScheduleTargetHeader] = []string{target}
	}
}
