package bus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// Schedule reschedules a request: its original is delivered again at a time.
type Schedule struct {
	At     time.Time
	Header map[string]string // to set, on the original's
}

// schedules are requests that wait to be tried again: messages that JetStream
// delivers to the retries at their time (ADR-51). One a request, since the
// subject is made of the id. Long waits are never a delayed nack, which would
// pin the message.
type schedules struct{ streams *streams }

// put stores a delivery again for a time. The body stays untouched. No Nats-*
// header is copied: each would break this or a later publish. Errors:
// ErrTooLarge, ctx's cause.
func (s *schedules) put(ctx context.Context, d *Delivery, schedule Schedule) error {
	n := s.streams.names
	_, err := s.streams.put(ctx, func() *nats.Msg {
		m := &nats.Msg{Subject: n.Later(d.asked.Callback, d.asked.ID), Header: cloneHeader(events.WithoutNATS(d.Header)), Data: d.Body}
		for key, value := range schedule.Header {
			m.Header[key] = []string{value}
		}
		return m
	}, jetstream.WithScheduleAt(wholeSeconds(schedule.At)), jetstream.WithScheduleTarget(n.Retries()))
	return err
}

// wholeSeconds rounds up: a schedule's time is cut to whole seconds, and then
// it fires up to a quarter of a second early (the scheduler's tick).
func wholeSeconds(at time.Time) time.Time {
	return at.Add(time.Second + 250*time.Millisecond - 1).Truncate(time.Second)
}

// waiting reports whether a schedule waits for the request that supersedes this
// delivery: any, for a message of the request queue; for one that came through
// the retries, only a newer schedule than that.
func (s *schedules) waiting(ctx context.Context, d *Delivery, callback, id string) (bool, error) {
	m, err := s.last(ctx, callback, id)
	if m == nil || err != nil {
		return false, err
	}
	return !d.Retried || m.Sequence > d.Sequence, nil
}

// find returns the schedule that waits for a request as if it were delivered;
// nil if there is none. The error is ctx's cause.
func (s *schedules) find(ctx context.Context, callback, id string) (*Delivery, error) {
	m, err := s.last(ctx, callback, id)
	if m == nil || err != nil {
		return nil, err
	}
	d := &Delivery{
		Body: m.Data, Header: m.Header, Queue: s.streams.names.Retries(), Stream: s.streams.names.RetriesStream(), Sequence: m.Sequence,
		Stored: m.Time, Taken: time.Now(), Retried: true,
	}
	d.guardReplay()
	return d, nil
}

func (s *schedules) last(ctx context.Context, callback, id string) (*jetstream.RawStreamMsg, error) {
	return s.streams.last(ctx, s.streams.retries, s.streams.names.Later(callback, id))
}
