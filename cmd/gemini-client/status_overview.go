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
	"gemini-client/service/bus"
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
	InFlight    uint64     `json:"in_flight"` // delivered and not settled
	Bytes       uint64     `json:"bytes"`     // of the stream
	PausedUntil *time.Time `json:"paused_until"`

	depth bus.Depth
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
	o.Later = &laterState{Waiting: queue.depth.Scheduled(stream.CachedInfo().State.Msgs)}
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
	depth, err := d.depth(ctx, name)
	if err != nil {
		return stream, nil, err
	}
	q := &queueState{Waiting: depth.Waiting, InFlight: depth.InFlight, Bytes: stream.CachedInfo().State.Bytes, PausedUntil: depth.PausedUntil, depth: depth}
	oldest, err := d.conn.OldestWaiting(ctx, name, subject, depth)
	if err != nil {
		return stream, q, fmt.Errorf("stream %s: %w", name, err)
	}
	if !oldest.IsZero() {
		at := oldest.UTC()
		q.OldestAt = &at
	}
	return stream, q, nil
}

// depth asks how full a stream's queue is.
func (d *desk) depth(ctx context.Context, stream string) (bus.Depth, error) {
	depth, err := d.conn.Depth(ctx, stream)
	if err != nil {
		return depth, fmt.Errorf("consumer %s of %s: %w", bus.Durable, stream, err)
	}
	return depth, nil
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
	return d.conn.Do(ctx, "."+d.names.DeadlettersStream(), func(ctx context.Context) error {
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
