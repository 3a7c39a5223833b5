package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

const (
	// markTTL outlives every request that waits for a batch (see the service's
	// batch.RequestLongest): as long as its mark is there it is not marked again.
	markTTL = 7 * 24 * time.Hour
	// enrolWithin bounds what a slot waits for marks and ticks. A request that is not
	// marked by then stays in its queue.
	enrolWithin = 30 * time.Second
	// batchesAgain is when the stream is looked for again that was not there.
	batchesAgain = time.Minute
)

// batches is the stream of what is remembered of batches. It is looked for, and made
// if it is missing, when the first request wants it.
type batches struct {
	streams *streams
	want    *jetstream.StreamConfig // nil: batches are off
	create  bool

	mu    sync.Mutex
	bound bool
	asked time.Time // when it was looked for in vain
	said  bool      // the log says that it is not there
}

// Mark says that a request waits in a group for its batch. The request itself waits
// as a schedule.
type Mark struct {
	Group    string    `json:"-"`
	Callback string    `json:"callback"`
	ID       string    `json:"id"`
	Retries  int       `json:"retries"` // of the request so far: it is marked once after each
	Bytes    int       `json:"bytes"`   // of its body
	Sequence uint64    `json:"-"`       // its place among the marks
	Stored   time.Time `json:"-"`
}

// Enrolment has a request that is rescheduled wait for a batch.
type Enrolment struct {
	Mark Mark
	Tick time.Time // when its group is looked after, unless it is sooner
}

// BatchReady reports whether requests can wait for batches. Where the stream is
// missing and may not be made, it says so once, and looks again after a minute.
func (b *Bus) BatchReady(ctx context.Context) bool {
	s := b.batches
	if s.want == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bound || !s.asked.IsZero() && time.Since(s.asked) < batchesAgain {
		return s.bound
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	have, err := ensureStream(ctx, s.streams.conn.JetStream, *s.want, s.create)
	if err == nil {
		err = errors.Join(judgeDifferences(ctx, s.streams.log, "stream "+s.want.Name, streamDifferences(have, *s.want, 0, Bound{}))...)
	}
	s.bound, s.asked = err == nil, time.Now()
	if err != nil && !s.said {
		s.said = true
		s.streams.log.WarnContext(ctx, "requests with tier batch are answered in the ordinary way and at the ordinary price, because their stream cannot be used: run `gemini-client provision`, and give the service's user its rights (deploy/README.md)",
			"stream", s.want.Name, "error", err)
	}
	return s.bound
}

// BatchesKept reports whether there is a stream of what is remembered of batches, be they
// on or off. One that this user may not see holds nothing for it. Errors: ErrNoAnswer,
// those of the connection.
func (b *Bus) BatchesKept(ctx context.Context) (bool, error) {
	conn, name := b.batches.streams.conn, b.names.BatchStream()
	err := conn.Do(ctx, "."+name, func(ctx context.Context) error {
		_, err := conn.JetStream.Stream(ctx, name)
		return err
	})
	for _, none := range []error{jetstream.ErrStreamNotFound, nats.ErrNoResponders, jetstream.ErrJetStreamNotEnabled, ErrDenied} {
		if errors.Is(err, none) {
			return false, nil
		}
	}
	return err == nil, err
}

// Enrol marks a request that waits as a schedule, and has its group looked after. What
// is there already stays as it is, so that it can be repeated. The error is that of
// streams.put, or that it took too long: then the stream is looked for again.
func (b *Bus) Enrol(ctx context.Context, e Enrolment) error {
	ctx, cancel := context.WithTimeoutCause(ctx, enrolWithin, errNotMarked)
	defer cancel()
	err := b.enrol(ctx, e)
	if err != nil && ctx.Err() != nil {
		s := b.batches
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bound, s.asked = false, time.Time{}
	}
	return err
}

func (b *Bus) enrol(ctx context.Context, e Enrolment) error {
	m := e.Mark
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	subject := b.names.BatchItem(m.Group, m.Retries, m.Callback, m.ID)
	_, err = b.batches.streams.put(ctx, func() *nats.Msg { return &nats.Msg{Subject: subject, Data: body} },
		withTTL(markTTL), expectLast(0))
	if err != nil && !errors.Is(err, errConflict) {
		return err
	}
	return b.Tick(ctx, m.Group, e.Tick)
}

var errNotMarked = fmt.Errorf("a request could not be marked for a batch within %s: is the stream there?", enrolWithin)

// NextMark returns the first mark of a group behind a sequence; nil if there is none.
// Errors: ErrRefused, ctx's cause.
func (b *Bus) NextMark(ctx context.Context, group string, after uint64) (*Mark, error) {
	m, err := b.batches.next(ctx, b.names.BatchItems(group), after)
	if m == nil || err != nil {
		return nil, err
	}
	mark := Mark{Group: group, Sequence: m.Sequence, Stored: m.Time}
	if err := json.Unmarshal(m.Data, &mark); err != nil {
		return nil, errors.Join(ErrRefused, fmt.Errorf("%s: %w", m.Subject, err))
	}
	return &mark, nil
}

// next returns the first message that matches behind a sequence, nil if there is
// none. It asks the stream's leader: what another copy lacks would be passed over for
// good.
func (s *batches) next(ctx context.Context, filter string, after uint64) (*jetstream.RawStreamMsg, error) {
	return s.streams.read(ctx, s.streams.message(s.streams.names.BatchStream(), map[string]any{"seq": after + 1, "next_by_subj": filter}))
}

// Record is what is remembered of a batch or of a group.
type Record struct {
	Name     string
	Body     []byte
	Sequence uint64 // 0: there is none
}

// BatchRecord returns a record of a kind. Errors: ErrRefused, ctx's cause.
func (b *Bus) BatchRecord(ctx context.Context, kind, name string) (Record, error) {
	s := b.batches.streams
	m, err := s.read(ctx, s.message(s.names.BatchStream(), map[string]any{"last_by_subj": s.names.BatchRecord(kind, name)}))
	if m == nil || err != nil {
		return Record{Name: name}, err
	}
	return Record{Name: name, Body: m.Data, Sequence: m.Sequence}, nil
}

// NextBatchRecord returns the first record of a kind behind a sequence, nil if there is
// none. Errors: ErrRefused, ctx's cause.
func (b *Bus) NextBatchRecord(ctx context.Context, kind string, after uint64) (*Record, error) {
	m, err := b.batches.next(ctx, b.names.BatchRecord(kind, "*"), after)
	if m == nil || err != nil {
		return nil, err
	}
	root := len(b.names.BatchRecord(kind, ""))
	return &Record{Name: m.Subject[root:], Body: m.Data, Sequence: m.Sequence}, nil
}

// PutBatchRecord stores a record in the place of one with that sequence (0: of none)
// for a time, and returns its sequence. Errors: one that [Conflict] knows, if another
// record is there; ErrRefused, ErrTooLarge, ctx's cause.
func (b *Bus) PutBatchRecord(ctx context.Context, kind string, r Record, ttl time.Duration) (uint64, error) {
	s, subject := b.batches.streams, b.names.BatchRecord(kind, r.Name)
	sequence, err := s.put(ctx, func() *nats.Msg { return &nats.Msg{Subject: subject, Data: r.Body} },
		withTTL(ttl), expectLast(r.Sequence))
	if !errors.Is(err, errConflict) {
		return sequence, err
	}
	there, readErr := b.BatchRecord(ctx, kind, r.Name)
	if readErr == nil && there.Sequence > r.Sequence && bytes.Equal(there.Body, r.Body) {
		return there.Sequence, nil // ours: an acknowledgement was lost
	}
	return 0, errors.Join(err, readErr)
}

// Conflict reports whether another record was there first.
func Conflict(err error) bool { return errors.Is(err, errConflict) }

// Tick has what is called so looked after at a time, by whatever worker, unless a time
// is set already. Errors: ErrRefused, ctx's cause.
func (b *Bus) Tick(ctx context.Context, name string, at time.Time) error {
	err := b.tick(ctx, name, at, expectLast(0))
	if errors.Is(err, errConflict) {
		return nil
	}
	return err
}

// TickNow is Tick, and sets the time to now whatever it was.
func (b *Bus) TickNow(ctx context.Context, name string) error { return b.tick(ctx, name, time.Now()) }

// tickBy is Tick, and replaces a later one: while a name is looked after, others may have
// set a tick for what is to be done sooner.
func (b *Bus) tickBy(ctx context.Context, name string, at time.Time) error {
	for {
		there, err := b.schedules.last(ctx, b.names.BatchTick(), name)
		if err != nil || there != nil && !dueAt(there.Header).After(at) {
			return err
		}
		if err := b.tick(ctx, name, at, expectLast(sequenceOf(there))); !errors.Is(err, errConflict) {
			return err
		}
	}
}

func (b *Bus) tick(ctx context.Context, name string, at time.Time, conditions ...condition) error {
	conditions = append(conditions, scheduled(wholeSeconds(at), b.names.Retries()))
	_, err := b.batches.streams.put(ctx, func() *nats.Msg {
		return &nats.Msg{
			Subject: b.names.Later(b.names.BatchTick(), name), Data: []byte("{}"),
			Header: nats.Header{events.HeaderTick: {name}},
		}
	}, conditions...)
	return err
}

// AdmitTick claims what a tick has looked after, so that one worker at a time does. The
// state is Admitted, Busy, Interrupted or Unclear.
func (b *Bus) AdmitTick(ctx context.Context, d *Delivery) Admission {
	d.asked = Ask{Delivery: d, Callback: b.names.BatchTick(), ID: d.Tick}
	claim, state, err := b.claims.obtain(ctx, d.asked.Callback, d.asked.ID, d)
	switch {
	case err != nil:
		return Admission{State: b.unanswered(ctx, err)}
	case state != Admitted:
		return Admission{State: Busy}
	}
	d.claim = claim
	return Admission{State: Admitted, Starts: claim.state().says.Starts}
}

// HasResult reports whether a result is stored for a request. Errors: ErrRefused, ctx's
// cause.
func (b *Bus) HasResult(ctx context.Context, callback, id string) (bool, error) {
	there, err := b.results.lookup(ctx, callback, id)
	return there.sequence != 0, err
}

// MaxRecord is the largest record, in bytes.
func (b *Bus) MaxRecord() int { return int(b.conn.MaxPayload()) - payloadReserve }
