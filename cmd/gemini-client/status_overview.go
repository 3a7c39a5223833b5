package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service"
)

// Bounds of what is looked at for an overview that may be repeated every two
// seconds.
const (
	schedulesRead = 20     // to find the next one's time; more are only counted
	subjectsRead  = 50_000 // to count dead letters by code; more are only counted
)

// overview is the state of everything at one time. What could not be seen is
// null, and unseen says why.
type overview struct {
	Time        time.Time              `json:"time"`
	Requests    *queueState            `json:"requests"`
	Retries     *queueState            `json:"retries"`
	Later       *laterState            `json:"later"`
	DeadLetters *lettersState          `json:"dead_letters"`
	Workers     []service.WorkerStatus `json:"workers"`
	Unseen      []string               `json:"unseen"`
}

// queueState is one of the two queues.
type queueState struct {
	Waiting     uint64     `json:"waiting"`
	OldestAt    *time.Time `json:"oldest_at"` // of the waiting
	InFlight    int        `json:"in_flight"` // delivered and not settled
	Bytes       uint64     `json:"bytes"`     // of the stream
	PausedUntil *time.Time `json:"paused_until"`
}

// laterState is the requests that wait as schedules.
type laterState struct {
	Waiting uint64     `json:"waiting"`
	NextAt  *time.Time `json:"next_at"` // null if there are too many to look
}

type lettersState struct {
	Total  uint64            `json:"total"`
	ByCode map[string]uint64 `json:"by_code"` // null if there are too many to look
}

// overview looks at everything at the same time, and shows it.
func (d *desk) overview(ctx context.Context, asJSON bool) ([]byte, error) {
	o := &overview{Time: time.Now().UTC(), Workers: []service.WorkerStatus{}, Unseen: []string{}}
	looks := []func(context.Context, *overview) error{d.lookAtRequests, d.lookAtRetries, d.lookAtLetters, d.lookAtWorkers}
	errs := make([]error, len(looks))
	var wg sync.WaitGroup
	for i, look := range looks {
		wg.Go(func() { errs[i] = look(ctx, o) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			o.Unseen = append(o.Unseen, plain(err.Error()))
		}
	}
	if asJSON {
		return jsonLine(o)
	}
	return o.text(), nil
}

func (d *desk) lookAtRequests(ctx context.Context, o *overview) (err error) {
	_, o.Requests, err = d.queue(ctx, d.names.RequestsStream(), d.names.RequestQueue)
	return err
}

func (d *desk) lookAtRetries(ctx context.Context, o *overview) error {
	stream, queue, err := d.queue(ctx, d.names.RetriesStream(), d.names.Retries())
	o.Retries = queue
	if queue == nil {
		return err
	}
	// Schedules are not the consumer's: they are what is left in the stream.
	total := stream.CachedInfo().State.Msgs
	o.Later = &laterState{Waiting: total - min(total, queue.Waiting+uint64(queue.InFlight))} //nolint:gosec // a count
	if o.Later.Waiting == 0 || o.Later.Waiting > schedulesRead {
		return err
	}
	next, lookErr := d.nextSchedule(ctx, stream)
	if !next.IsZero() {
		o.Later.NextAt = &next
	}
	return errors.Join(err, lookErr)
}

// queue looks at a queue through its consumer. Whatever is seen is returned
// beside an error.
func (d *desk) queue(ctx context.Context, name, subject string) (jetstream.Stream, *queueState, error) {
	stream, err := d.stream(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	info, err := d.consumer(ctx, name)
	if err != nil {
		return stream, nil, err
	}
	q := &queueState{Waiting: info.NumPending, InFlight: info.NumAckPending, Bytes: stream.CachedInfo().State.Bytes}
	if info.Paused {
		q.PausedUntil = info.Config.PauseUntil
	}
	if q.Waiting == 0 {
		return stream, q, nil
	}
	oldest, err := d.next(ctx, stream, info.Delivered.Stream+1, subject)
	if oldest != nil {
		at := oldest.Time.UTC()
		q.OldestAt = &at
	}
	return stream, q, err
}

func (d *desk) consumer(ctx context.Context, stream string) (info *jetstream.ConsumerInfo, err error) {
	err = d.ask(ctx, "."+stream+"."+service.Durable, func(ctx context.Context) error {
		consumer, err := d.js.Consumer(ctx, stream, service.Durable)
		if err == nil {
			info = consumer.CachedInfo()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("consumer %s of %s: %w", service.Durable, stream, err)
	}
	return info, nil
}

// nextSchedule returns when the next of a few schedules fires.
func (d *desk) nextSchedule(ctx context.Context, stream jetstream.Stream) (next time.Time, err error) {
	for sequence, n := uint64(1), 0; n < schedulesRead; n++ {
		m, err := d.next(ctx, stream, sequence, d.names.LaterAll())
		if m == nil || err != nil {
			return next, err
		}
		if at, ok := firesAt(m); ok && (next.IsZero() || at.Before(next)) {
			next = at
		}
		sequence = m.Sequence + 1
	}
	return next, nil
}

// firesAt reads a schedule's time.
func firesAt(m *jetstream.RawStreamMsg) (time.Time, bool) {
	text, ok := strings.CutPrefix(m.Header.Get(jetstream.ScheduleHeader), "@at ")
	if !ok {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, text)
	return at.UTC(), err == nil
}

func (d *desk) lookAtLetters(ctx context.Context, o *overview) error {
	stream, err := d.stream(ctx, d.names.DeadlettersStream())
	if err != nil {
		return err
	}
	state := stream.CachedInfo().State
	o.DeadLetters = &lettersState{Total: state.Msgs}
	if state.NumSubjects > subjectsRead {
		return nil
	}
	o.DeadLetters.ByCode = map[string]uint64{}
	if state.Msgs == 0 {
		return nil
	}
	return d.ask(ctx, "."+d.names.DeadlettersStream(), func(ctx context.Context) error {
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(d.names.DeadlettersAll()))
		if err != nil {
			return fmt.Errorf("stream %s: %w", d.names.DeadlettersStream(), err)
		}
		for subject, n := range info.State.Subjects {
			o.DeadLetters.ByCode[string(d.newLetter(subject, nil, 0, time.Time{}).Code)] += n
		}
		return nil
	})
}
