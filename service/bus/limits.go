package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// limitsAgain is when the stream is looked for again that was not there.
const limitsAgain = time.Minute

// limits is the stream of the counters of limits. It is looked for, and made if it is
// missing, when something is counted for the first time.
type limits struct {
	want   jetstream.StreamConfig
	create bool

	lock  chan struct{} // holds a token while nobody looks for it
	bound chan struct{} // closed when it was found
	asked time.Time     // when it was looked for in vain; belongs to the holder of the token, as the next
	err   error         // why
	said  bool          // the log says it
}

func newLimits(want jetstream.StreamConfig, create bool) *limits {
	l := &limits{want: want, create: create, lock: make(chan struct{}, 1), bound: make(chan struct{})}
	l.lock <- struct{}{}
	return l
}

// LimitsReady makes sure of the counters of limits. Errors: ErrTopology where their stream
// is missing and may not be made, or does not fit, which the log says once: it is looked
// for again after a minute; those of the connection; ctx's cause.
func (b *Bus) LimitsReady(ctx context.Context) error {
	l := b.limits
	select {
	case <-l.bound:
		return nil
	default:
	}
	select {
	case <-l.lock:
		defer func() { l.lock <- struct{}{} }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-l.bound:
		return nil
	default:
	}
	if l.err != nil && time.Since(l.asked) < limitsAgain {
		return l.err
	}
	err := b.ensureLimits(ctx)
	if err == nil {
		close(l.bound)
	}
	if !errors.Is(err, ErrTopology) {
		return err
	}
	l.err, l.asked = err, time.Now()
	if !l.said {
		l.said = true
		b.tel.Logger.WarnContext(ctx, "limits hold for this worker alone, and not for all of them together, because the stream of their counters cannot be used: run `gemini-client provision`",
			"stream", l.want.Name, "error", err)
	}
	return err
}

// ensureLimits looks for the stream, and makes it if it is missing and may be made. Where
// this user may not see it, it cannot be used. Errors: as LimitsReady.
func (b *Bus) ensureLimits(ctx context.Context) error {
	want := b.limits.want
	var have jetstream.StreamConfig
	err := b.conn.Do(ctx, "."+want.Name, func(ctx context.Context) (err error) {
		have, err = ensureStream(ctx, b.conn.JetStream, want, b.limits.create)
		return err
	})
	for _, unusable := range []error{nats.ErrNoResponders, jetstream.ErrJetStreamNotEnabled, ErrDenied} {
		if errors.Is(err, unusable) {
			return errors.Join(ErrTopology, err)
		}
	}
	if err != nil {
		return err
	}
	if err := errors.Join(judgeDifferences(ctx, b.tel.Logger, "stream "+want.Name, streamDifferences(have, want, 0, Bound{}))...); err != nil {
		return errors.Join(ErrTopology, err)
	}
	return nil
}

// Offset is how far the server's clock is ahead of this process's, give or take half of
// the time that the answer takes. Errors: ErrDenied, ErrNoAnswer, *jetstream.APIError,
// ctx's cause.
func (b *Bus) Offset(ctx context.Context) (offset time.Duration, err error) {
	name := b.names.RequestsStream()
	err = b.conn.Do(ctx, "."+name, func(ctx context.Context) error {
		var answer struct {
			Time time.Time `json:"ts"`
		}
		began := time.Now()
		if err := b.conn.request(ctx, "STREAM.INFO."+name, nil, &answer); err != nil {
			return err
		}
		if answer.Time.IsZero() {
			return jetstream.ErrInvalidJSAck
		}
		offset = answer.Time.Sub(began.Add(time.Since(began) / 2))
		return nil
	})
	return offset, err
}
