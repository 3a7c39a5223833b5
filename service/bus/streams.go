package bus

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// streams reads and writes the service's streams: the last message of a subject
// (reads.go), and a publish on conditions. NATS being away costs time and nothing
// else.
type streams struct {
	conn      *Conn
	publisher *publisher
	names     events.Names
	log       *slog.Logger
	responses jetstream.Stream
	claims    jetstream.Stream
	retries   jetstream.Stream
	copied    sync.Map               // names of the streams that have further copies
	looks     chan struct{}          // holds one for each look under way
	recordAge time.Duration          // how long results and cancellations are kept; 0: for ever
	refusals  *repeats               // logs what is refused for good
	committed failsafe.Executor[any] // of one request: waits until no uncommitted write is in its way
	patience  failsafe.Executor[any] // around it: waits for NATS
}

// bindStreams binds the streams that are read. They exist: the topology is made
// sure of before.
func bindStreams(ctx context.Context, conn *Conn, names events.Names, log *slog.Logger) (*streams, error) {
	publisher, err := newPublisher(conn)
	if err != nil {
		return nil, err
	}
	if conn.groups {
		publisher.group(names.ClaimsStream(), names.ClaimsAll())
		publisher.group(names.ResponsesStream(), names.ResponsesAll())
	}
	s := &streams{conn: conn, publisher: publisher, names: names, log: log, refusals: newRepeats(log), committed: newCommitted(), patience: newPatience(log), looks: make(chan struct{}, looksAtOnce)}
	var cancels jetstream.Stream
	for _, bind := range []struct {
		to   *jetstream.Stream
		name string
	}{
		{&s.responses, names.ResponsesStream()}, {&s.claims, names.ClaimsStream()}, {&s.retries, names.RetriesStream()}, {&cancels, names.CancelsStream()},
	} {
		stream, err := conn.JetStream.Stream(ctx, bind.name)
		if err != nil {
			return nil, err
		}
		*bind.to = stream
		s.noteCopies(*stream.CachedInfo())
	}
	s.recordAge = shorter(s.responses.CachedInfo().Config.MaxAge, cancels.CachedInfo().Config.MaxAge)
	return s, nil
}

// noteCopies notes whether a stream has further copies, and whether its messages can be
// stored together. An operator may change that at any time.
func (s *streams) noteCopies(info jetstream.StreamInfo) {
	s.publisher.allow(info.Config)
	if info.Config.Replicas > 1 {
		s.copied.Store(info.Config.Name, true)
	} else {
		s.copied.Delete(info.Config.Name)
	}
}

// shorter returns the shorter of two ages, of which 0 has no end.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// newPatience repeats a request until NATS has decided it.
func newPatience(log *slog.Logger) failsafe.Executor[any] {
	away := newRepeats(log)
	untilDecided := retrypolicy.NewBuilder[any]().
		HandleIf(func(_ any, err error) bool { return err != nil && !decided(err) }).
		WithMaxRetries(-1).
		WithBackoff(100*time.Millisecond, 2*time.Second).
		WithJitterFactor(0.2).
		OnRetry(func(e failsafe.ExecutionEvent[any]) {
			if e.Retries() == 3 { // a blip is not worth a line, and what waits in every slot is worth one
				away.say("NATS does not answer, trying again until it does", e.LastError())
			}
		}).
		Build()
	return failsafe.With[any](untilDecided)
}

// newCommitted repeats a publish that met an uncommitted write, which is decided
// within milliseconds, and twice one that met no stream, which a change of leaders
// makes. It counts its tries apart from those of newPatience.
func newCommitted() failsafe.Executor[any] {
	return failsafe.With[any](retrypolicy.NewBuilder[any]().
		HandleErrors(errUncommitted).
		WithMaxRetries(-1).
		WithRandomDelay(10*time.Millisecond, 50*time.Millisecond).
		ReturnLastFailure().
		Build(), retrypolicy.NewBuilder[any]().
		HandleErrors(nats.ErrNoResponders).
		WithMaxRetries(2).
		WithDelay(250*time.Millisecond).
		ReturnLastFailure().
		Build())
}

// patiently repeats a request until it succeeds, is decided, or ctx ends. A
// refusal that nobody knows is repeated unknownTries times, and then counts as one
// for good. Errors: errConflict, ErrTooLarge, ErrRefused, ctx's cause.
func (s *streams) patiently(ctx context.Context, do func(ctx context.Context) error) error {
	unknown := 0
	try := func(ctx context.Context) error {
		one, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		err := do(one)
		if !errors.Is(err, errUnknown) {
			return err
		}
		if unknown++; unknown < unknownTries {
			return err
		}
		return errors.Join(ErrRefused, err)
	}
	err := try(ctx)
	if err != nil && !decided(err) { // only a failure is the policy's matter
		err = s.patience.WithContext(ctx).RunWithExecution(func(e failsafe.Execution[any]) error { return try(e.Context()) })
	}
	if errors.Is(err, ErrRefused) {
		s.refusals.say("NATS refuses what the service asks of it, and is not asked again", err)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// put stores a message and returns its sequence, trying patiently. newMessage
// makes the message of one try: a publish writes into its headers. Errors:
// errConflict, ErrTooLarge, ErrRefused, ctx's cause.
func (s *streams) put(ctx context.Context, newMessage func() *nats.Msg, conditions ...condition) (sequence uint64, err error) {
	err = s.patiently(ctx, func(ctx context.Context) error {
		sequence, err = s.putOnce(ctx, newMessage, conditions...)
		return err
	})
	return sequence, err
}

// putOnce is one try of put, which waits for no more than uncommitted writes.
func (s *streams) putOnce(ctx context.Context, newMessage func() *nats.Msg, conditions ...condition) (sequence uint64, err error) {
	store := func(ctx context.Context) error {
		m := newMessage()
		if m.Header == nil {
			m.Header = make(nats.Header, len(conditions)+1)
		}
		for _, holds := range conditions {
			holds(m.Header)
		}
		sequence, err = s.publisher.store(ctx, m)
		return err
	}
	if err = store(ctx); errors.Is(err, errUncommitted) || errors.Is(err, nats.ErrNoResponders) {
		err = s.committed.WithContext(ctx).RunWithExecution(func(e failsafe.Execution[any]) error { return store(e.Context()) })
	}
	return sequence, err
}
