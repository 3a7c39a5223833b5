package service

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// schedules puts requests back for later: a message that JetStream delivers to
// the retries at its time (ADR-51). One a request, since the subject is made
// of the id. Long waits are never a delayed Nak, which would pin the message.
type schedules struct{ broker *broker }

// put stores a delivery again for a time. The body stays untouched; changes
// are the headers to set. No Nats-* header is copied: each would break this or
// a later publish. Errors: errTooLarge, ctx's cause.
func (s *schedules) put(ctx context.Context, callback, id string, d delivery, at time.Time, changes map[string]string) error {
	n := s.broker.names
	return s.broker.patiently(ctx, func(ctx context.Context) error {
		m := &nats.Msg{Subject: n.Later(callback, id), Header: cloneHeader(events.WithoutNATS(d.Header)), Data: d.Body}
		for key, value := range changes {
			m.Header[key] = []string{value}
		}
		_, err := s.broker.put(ctx, m, jetstream.WithScheduleAt(wholeSeconds(at)), jetstream.WithScheduleTarget(n.Retries()))
		return err
	})
}

// wholeSeconds rounds up: a schedule's time is cut to whole seconds, and then
// it fires up to a quarter of a second early (the scheduler's tick).
func wholeSeconds(at time.Time) time.Time {
	return at.Add(time.Second + 250*time.Millisecond - 1).Truncate(time.Second)
}

// waiting returns whether a schedule waits for the request that supersedes
// this delivery: any, for a message of the request queue; for one that a
// schedule put into the retries, only a newer schedule than that.
func (s *schedules) waiting(ctx context.Context, callback, id string, d delivery) (bool, error) {
	m, err := s.broker.last(ctx, s.broker.retries, s.broker.names.Later(callback, id))
	if m == nil || err != nil {
		return false, err
	}
	if d.Stream == s.broker.names.RetriesStream() {
		return m.Sequence > d.Sequence, nil
	}
	return true, nil
}

// retryCount is how often the request has been put back: by its body, plus
// what we counted in a header.
func retryCount(d delivery, inBody int) int {
	n, _ := events.RetryCount(d.Header)
	return inBody + n
}

// headers are those of a request's next delivery: one more retry if a call was
// made, or one more strike. A start that settled ends its strikes.
func (v verdict) headers(d delivery) map[string]string {
	if v.strikes > 0 {
		return map[string]string{events.HeaderStrikes: strconv.Itoa(v.strikes)}
	}
	n, _ := events.RetryCount(d.Header)
	if !v.free {
		n++
	}
	return map[string]string{events.HeaderRetryCount: strconv.Itoa(n), events.HeaderStrikes: "0"}
}
