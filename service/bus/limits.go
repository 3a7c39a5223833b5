package bus

import (
	"context"
	"errors"
	"sync/atomic"
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
	bound  atomic.Bool // it was there when it was last used

	lock  chan struct{} // holds a token while nobody looks for it; the holder has the rest
	found bool          // it has been there
	asked time.Time     // when it was looked for in vain
	err   error         // why
	said  bool          // the log says it
}

func newLimits(want jetstream.StreamConfig, create bool) *limits {
	l := &limits{want: want, create: create, lock: make(chan struct{}, 1)}
	l.lock <- struct{}{}
	return l
}

// AddLimit adds to a counter of a limit, as Add does, and makes sure of its stream before.
// Errors: ErrTopology where that cannot be used; those of Add.
func (b *Bus) AddLimit(ctx context.Context, counter string, by int64, id string) (int64, error) {
	if err := b.limitsReady(ctx); err != nil {
		return 0, err
	}
	total, err := b.Add(ctx, counter, by, id)
	if errors.Is(err, nats.ErrNoResponders) { // the stream may be gone
		b.limits.bound.Store(false)
	}
	return total, err
}

// limitsReady makes sure of the counters of limits. Errors: ErrTopology where their stream
// is missing and may not be made, or does not fit, or this user may not use it, which the
// log says once; it is looked for again after a minute. A stream that has been there is
// away, and not missing. Those of the connection; ctx's cause.
func (b *Bus) limitsReady(ctx context.Context) error {
	l := b.limits
	if l.bound.Load() {
		return nil
	}
	select {
	case <-l.lock:
		defer func() { l.lock <- struct{}{} }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	switch {
	case l.bound.Load():
		return nil
	case l.err != nil && time.Since(l.asked) < limitsAgain:
		return l.err
	}
	err := b.ensureLimits(ctx)
	if err == nil {
		l.bound.Store(true)
		l.found, l.err = true, nil
	}
	if !errors.Is(err, ErrTopology) {
		return err
	}
	if l.found {
		return ErrNoAnswer
	}
	if l.err, l.asked = err, time.Now(); !l.said {
		l.said = true
		b.tel.Logger.WarnContext(ctx, "limits hold for this worker alone, and not for all of them together, because the stream of their counters cannot be used: run `gemini-client provision`, and give the service's user its rights (deploy/README.md)",
			"stream", l.want.Name, "error", err)
	}
	return err
}

// ensureLimits looks for the stream, and makes it if it is missing and may be made. Errors:
// as limitsReady.
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
	offset, _, err = b.conn.Offset(ctx, b.names.RequestsStream(), time.Now)
	return offset, err
}
