package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// Schedule reschedules a request: its original is delivered again at a time.
type Schedule struct {
	At     time.Time
	Header map[string]string // to set, on the original's
	Enrol  *Enrolment        // has it wait for a batch; nil if it does not
}

// schedules are requests that wait to be tried again: messages that JetStream
// delivers to the retries at their time (ADR-51). One a request, since the
// subject is made of the id. Long waits are never a delayed nack, which would
// pin the message.
type schedules struct{ streams *streams }

// put stores a delivery again for a time. The body stays untouched. No Nats-*
// header is copied: each would break this or a later publish. Others that it cannot
// carry are left behind. Errors: ErrTooLarge, ErrRefused, ctx's cause.
func (s *schedules) put(ctx context.Context, d *Delivery, schedule Schedule) error {
	subject := s.streams.names.Later(d.asked.Callback, d.asked.ID)
	set := d.ofTenant()
	for name, value := range schedule.Header {
		set[name] = []string{value}
	}
	most := s.streams.retries.CachedInfo().Config.MaxMsgSize
	with := func(room int) error {
		header := fitting(events.WithoutNATS(d.Header), room)
		maps.Copy(header, set)
		fired := nats.Msg{Header: s.fired(header, subject), Data: d.Body}
		if most > 0 && fired.Size() > int(most) {
			return fmt.Errorf("%w: it would be %d bytes when its schedule fires, and the stream takes %d", ErrTooLarge, fired.Size(), most)
		}
		_, err := s.streams.put(ctx, func() *nats.Msg {
			return &nats.Msg{Subject: subject, Header: cloneHeader(header), Data: d.Body}
		}, scheduled(wholeSeconds(schedule.At), s.streams.names.Retries()))
		return err
	}
	err := with(s.streams.room(d.Body, s.fired(set, subject), most))
	if Refused(err) && len(d.Header) > 0 {
		err = with(0)
	}
	return err
}

// fired adds what the server sets on the message that a schedule becomes, in the
// place of two headers that are shorter (nats-server: scheduler.go). If it does not
// fit then, the server drops the message without a word.
func (s *schedules) fired(header events.Header, subject string) nats.Header {
	header = maps.Clone(header)
	header["Nats-Scheduler"] = []string{subject}
	header["Nats-Schedule-Next"] = []string{"purge"}
	return header
}

// wholeSeconds rounds up: a schedule's time is cut to whole seconds, and then
// it fires up to a quarter of a second early (the scheduler's tick).
func wholeSeconds(at time.Time) time.Time {
	return at.Add(time.Second + 250*time.Millisecond - 1).Truncate(time.Second)
}

// dueAt returns when a schedule is due; the zero time if it does not say so.
func dueAt(h nats.Header) time.Time {
	text, _ := strings.CutPrefix(h.Get(jetstream.ScheduleHeader), "@at ")
	at, _ := time.Parse(time.RFC3339, text)
	return at
}

// waiting reports whether a schedule waits for the request that supersedes this
// delivery: any, for a message of the request queue; for one that came through
// the retries, only a newer schedule than that.
func (s *schedules) waiting(ctx context.Context, d *Delivery, callback, id string) (bool, error) {
	m, err := s.last(ctx, callback, id)
	if m == nil || err != nil {
		return false, err
	}
	d.due = dueAt(m.Header)
	return !d.Retried || m.Sequence > d.Sequence, nil
}

// find returns the schedule that waits for a request as if it were delivered;
// nil if there is none. Errors: ErrRefused, ctx's cause.
func (s *schedules) find(ctx context.Context, callback, id string) (*Delivery, error) {
	m, err := s.last(ctx, callback, id)
	if m == nil || err != nil {
		return nil, err
	}
	d := &Delivery{
		Body: m.Data, Header: m.Header, Queue: s.streams.names.Retries(), Stream: s.streams.names.RetriesStream(), Sequence: m.Sequence,
		Stored: m.Time, Taken: time.Now(), Retried: true, due: dueAt(m.Header),
	}
	d.guardReplay()
	return d, nil
}

// remove removes the schedule that a delivery was found as: its request has a
// result. What takes its place is due now and has no prompt: it is delivered like
// any other of its tenant, its result is found, and it is acknowledged. So a worker needs no right
// to purge or delete, which JetStream's permissions do not bound to a subject. A
// schedule that has fired meanwhile, or was replaced, stays as it is.
func (s *schedules) remove(ctx context.Context, d *Delivery) {
	n := s.streams.names
	body, err := json.Marshal(map[string]string{"request_id": d.asked.ID, "callback_queue": d.asked.Callback})
	if err == nil {
		_, err = s.streams.put(ctx, func() *nats.Msg {
			return &nats.Msg{Subject: n.Later(d.asked.Callback, d.asked.ID), Header: cloneHeader(d.ofTenant()), Data: body}
		}, scheduled(time.Now(), n.Retries()), expectLast(d.Sequence))
	}
	if err != nil && !errors.Is(err, errConflict) {
		s.streams.log.WarnContext(ctx, "the schedule of an answered request was not removed; it ends at its time", "error", err)
	}
}

func (s *schedules) last(ctx context.Context, callback, id string) (*jetstream.RawStreamMsg, error) {
	return s.streams.look(ctx, s.streams.retries, s.streams.names.Later(callback, id))
}
