package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Seen is what this user sees of a stream or a consumer.
type Seen struct {
	What    string // "stream NAME", or "consumer NAME of STREAM"
	Stream  string
	Spare   bool // the service goes on without it
	Missing bool
	Changes []Change      // where it differs from the configuration
	AckWait time.Duration // in force, of a consumer
	Bytes   uint64        // of a stream
	Err     error         // why it is not seen: ErrDenied, ErrNoAnswer, nats.ErrNoResponders (also without a right of the account), JetStream's
}

// Hidden reports whether this user may not see it, as far as can be told.
func (s Seen) Hidden() bool {
	return errors.Is(s.Err, ErrDenied) || errors.Is(s.Err, nats.ErrNoResponders)
}

// Look compares each stream and consumer with the configuration, as far as this user
// sees them, and changes nothing. Of a stream it says what the service says at its start, of
// a consumer every difference. It ends with ctx.
func (t Topology) Look(ctx context.Context, conn *Conn) []Seen {
	needed := map[string]bool{}
	for _, s := range t.needed().Streams {
		needed[s.Name] = true
	}
	var all []Seen
	for _, want := range t.Streams {
		var info jetstream.StreamInfo
		s := Seen{What: "stream " + want.Name, Stream: want.Name, Spare: !needed[want.Name]}
		if noteSeen(&s, conn.ask(ctx, streamInfo(want.Name), nil, &info)) {
			s.Bytes = info.State.Bytes
			s.Changes = changes(s.What, streamDifferences(info.Config, want, t.LeastAge[want.Name], t.Bounds[want.Name]), struct{}{}, struct{}{})
		}
		all = append(all, s)
	}
	for _, want := range t.Consumers {
		var info jetstream.ConsumerInfo
		s := Seen{What: want.what(), Stream: want.Stream, Spare: want.spare()}
		if noteSeen(&s, conn.ask(ctx, "CONSUMER.INFO."+want.Stream+"."+want.Config.Durable, nil, &info)) {
			s.AckWait, s.Changes = info.Config.AckWait, want.changes(info.Config)
		}
		all = append(all, s)
	}
	return all
}

// noteSeen notes the answer to the question about s, and returns whether it is there.
func noteSeen(s *Seen, err error) (there bool) {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) {
		s.Missing = true
		return false
	}
	s.Err = err
	return err == nil
}

func (q QueueConsumer) what() string {
	return fmt.Sprintf("consumer %s of %s", q.Config.Durable, q.Stream)
}

// changes are all that Provision would set.
func (q QueueConsumer) changes(have jetstream.ConsumerConfig) []Change {
	return changes(q.what(), consumerDifferences(have, q.Config), comparedConsumer(have), comparedConsumer(q.Config))
}

// ErrNoJetStream is a server or an account without JetStream. errors.Is finds it.
var ErrNoJetStream = errors.New("JetStream is not enabled")

// Account is what JetStream keeps for this user's account.
type Account struct {
	Streams, Consumers int
	Stored, MaxStored  int64 // bytes on disk; MaxStored is 0 or less where there is no limit
}

// Account asks for that. Errors: ErrNoJetStream, ErrDenied, ErrNoAnswer,
// nats.ErrNoResponders.
func (c *Conn) Account(ctx context.Context) (Account, error) {
	var info jetstream.AccountInfo
	err := c.ask(ctx, "INFO", nil, &info)
	if errors.As(err, new(*jetstream.APIError)) {
		err = fmt.Errorf("%w: %w", ErrNoJetStream, err)
	}
	return Account{info.Streams, info.Consumers, int64(info.Store), info.Limits.MaxStore}, err //nolint:gosec // bytes on a disk
}

// Offset is how far the clock of a stream's server is ahead of now, give or take within.
// Errors: those of Do, *jetstream.APIError, jetstream.ErrInvalidJSAck for a server that
// does not tell its time.
func (c *Conn) Offset(ctx context.Context, stream string, now func() time.Time) (offset, within time.Duration, err error) {
	var answer struct {
		Time time.Time `json:"ts"`
	}
	var began time.Time
	err = c.Do(ctx, "."+stream, func(ctx context.Context) error {
		began = now()
		err := c.request(ctx, streamInfo(stream), nil, &answer)
		within = now().Sub(began) / 2
		if err == nil && answer.Time.IsZero() {
			err = jetstream.ErrInvalidJSAck
		}
		return err
	})
	return answer.Time.Sub(began.Add(within)), within, err
}
