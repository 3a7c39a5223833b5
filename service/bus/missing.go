package bus

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// setMissing remembers from the answer to a question whether what it is about is
// there. Any other error leaves that as it is.
func (b *backlog) setMissing(question string, err error) {
	gone := errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound)
	if err != nil && !gone {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.missing[question] = gone
}

// unready says which of the things without which nothing can be answered is not
// there, by the last reading; "" if all are. A worker that pulls nothing, because
// its slots are full or its intake is paused, would not notice.
func (b *backlog) unready() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, stream := range []string{b.names.RequestsStream(), b.names.RetriesStream()} {
		if b.missing[consumerInfo(stream)] {
			return fmt.Sprintf("consumer %s of %s, or the stream, is missing (gemini-client provision --missing)", Durable, stream)
		}
	}
	if stream := b.names.ResponsesStream(); b.missing[streamInfo(stream)] {
		return fmt.Sprintf("stream %s is missing (gemini-client provision --missing)", stream)
	}
	return ""
}
