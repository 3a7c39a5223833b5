package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/events/bodies"
)

// ErrNoBody is a request's object that is not there or is not the one that was put:
// asking again brings nothing else.
var ErrNoBody = errors.New("the object cannot be used")

// dropTime bounds what a slot waits for an object to be deleted. What stays ends with
// the bucket's age limit.
const dropTime = 5 * time.Second

// putTime bounds what a paid answer waits for a bucket that was there a moment ago.
const putTime = time.Minute

// newBodies returns the object store of large bodies. Nothing is asked before it is used.
func newBodies(s *streams) *bodies.Store {
	return &bodies.Store{
		Bucket: s.names.BodiesBucket(), API: s.conn.api,
		Chunk:   func() int { return bodies.ChunkSize(s.conn.MaxPayload()) },
		Request: s.askBodies, Publish: s.putBody,
	}
}

// askBodies asks patiently. What this user may not ask is refused, lest its request
// waits until somebody changes that.
func (s *streams) askBodies(ctx context.Context, subject string, question []byte) (m *nats.Msg, err error) {
	nobody := false
	err = s.patiently(ctx, func(ctx context.Context) error {
		err := s.conn.Do(ctx, strconv.Quote(subject), func(ctx context.Context) (err error) {
			m, err = s.conn.RequestWithContext(ctx, subject, question)
			return err
		})
		if nobody = errors.Is(err, nats.ErrNoResponders); nobody {
			return nil
		}
		return refusedIf(err, errors.Is(err, ErrDenied))
	})
	if nobody {
		return nil, nats.ErrNoResponders
	}
	return m, err
}

// putBody stores a message of an object patiently. A bucket that is full, gone or
// forbidden is refused: there is another way to end than to wait for it.
func (s *streams) putBody(ctx context.Context, m *nats.Msg) error {
	return s.patiently(ctx, func(ctx context.Context) error {
		_, err := s.putOnce(ctx, func() *nats.Msg {
			return &nats.Msg{Subject: m.Subject, Header: cloneHeader(m.Header), Data: m.Data}
		})
		var api *jetstream.APIError
		return refusedIf(err, errors.Is(err, ErrDenied) || streamFull(err) ||
			errors.As(err, &api) && noRoom(api.ErrorCode))
	})
}

func refusedIf(err error, refused bool) error {
	if refused {
		return errors.Join(ErrRefused, err)
	}
	return err
}

// noRoom reports whether a code says that the server or the account has no room.
func noRoom(code jetstream.ErrorCode) bool {
	return code == 10002 || code == 10023 || code == 10028 || code == jsErrStorageResources
}

// Body returns the object that an admitted request refers to. It counts its bytes
// against the memory budget until the delivery is settled, and waits for room before it
// fetches the first. NATS being away is waited for, as long as ctx lasts. Errors:
// ErrNoBody, ErrRefused, ctx's cause; ErrNoAnswer if nobody answers for JetStream, which may
// pass.
func (b *Bus) Body(ctx context.Context, d *Delivery, ref events.BodyRef) ([]byte, error) {
	if err := d.Room(ctx, ref.Size); err != nil {
		return nil, err
	}
	object, err := b.bodies.Get(ctx, ref)
	switch {
	case errors.Is(err, bodies.ErrNoBucket), errors.Is(err, bodies.ErrMissing), errors.Is(err, bodies.ErrBroken):
		return nil, fmt.Errorf("%w: %w", ErrNoBody, err)
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	return object, err
}

// PutResult stores a result that is larger than a message may be, under a name that no
// other has: another worker's, whose result may be the one that counts, must not
// replace it. Errors: ErrRefused, ctx's cause.
func (b *Bus) PutResult(ctx context.Context, id string, result []byte) (events.BodyRef, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, putTime, fmt.Errorf("%w: it could not be stored within %s", ErrRefused, putTime))
	defer cancel()
	ref, err := b.bodies.Put(ctx, events.ResultBodyName(id, uuid.NewString()), result)
	err = refusedIf(err, errors.Is(err, bodies.ErrNoBucket) || errors.Is(err, nats.ErrNoResponders))
	ref.Note = events.NoteResultRef
	return ref, err
}

// DropBody deletes an object that nobody needs any more, or leaves it to the age limit.
func (b *Bus) DropBody(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTime)
	defer cancel()
	if err := b.bodies.Delete(ctx, name); err != nil {
		b.tel.Logger.DebugContext(ctx, "an object is left to the age limit of its bucket", "bucket", b.bodies.Bucket, "error", err)
	}
}

// MaxBody is the largest object, in bytes, that a request may refer to: one must fit
// into half of the memory budget, as the process may go that far beyond it so that one
// request always goes on.
func (b *Bus) MaxBody() int {
	if b.memory.budget == 0 {
		return events.MaxBody
	}
	return int(min(events.MaxBody, max(b.memory.budget/2/bodyCost, b.conn.MaxPayload())))
}

// ensureBodies makes the bucket where it is missing, and returns whether it had to wait for
// NATS. Nothing at start needs it: only what is larger than a message may be has nowhere
// to go without it.
func ensureBodies(ctx context.Context, conn *Conn, want jetstream.StreamConfig, log *slog.Logger) (waited bool) {
	waited, err := ensureSpare(ctx, log, func(ctx context.Context) error {
		_, err := ensureStream(ctx, conn.JetStream, want, true)
		return err
	})
	if err != nil {
		log.WarnContext(ctx, "requests and results that are larger than a message may be have nowhere to go, because their object store cannot be made: run `gemini-client provision`", "stream", want.Name, "error", err)
	}
	return waited
}
