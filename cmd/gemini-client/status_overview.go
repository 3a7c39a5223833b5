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
	"gemini-client/service/batch"
	"gemini-client/service/bus"
)

// Bounds of what an overview reads, which may be repeated every two seconds.
const (
	schedulesRead = 20     // to find the next time; more are only counted
	subjectsRead  = 50_000 // to count dead letters by code; more are only counted
)

// overview is the state of everything at one time. What could not be seen is
// null, and unseen says why.
type overview struct {
	Time        time.Time              `json:"time"`
	Requests    *queueState            `json:"requests"`
	Retries     *queueState            `json:"retries"`
	Lanes       []laneOverview         `json:"lanes,omitempty"` // the other queues of requests: of tenants, and the slow lane
	Scheduled   *scheduledState        `json:"later"`
	DeadLetters *deadLetterState       `json:"dead_letters"`
	Batches     []batch.Description    `json:"batches"` // under way at OpenRouter, or about to be sent there
	Spent       *spentState            `json:"spent"`   // by the results of the last hour and day
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

// scheduledState counts the rescheduled requests.
type scheduledState struct {
	Waiting uint64     `json:"waiting"`
	NextAt  *time.Time `json:"next_at"` // null if there are too many to read
}

type deadLetterState struct {
	Total  uint64            `json:"total"`
	ByCode map[string]uint64 `json:"by_code"` // null if there are too many to read
}

// overview is everything, formatted.
func (a *adminClient) overview(ctx context.Context, asJSON bool) ([]byte, error) {
	o := a.look(ctx)
	if asJSON {
		return jsonLine(o)
	}
	return o.text(), nil
}

// look reads everything concurrently.
func (a *adminClient) look(ctx context.Context) *overview {
	o := &overview{Time: time.Now().UTC(), Workers: []service.WorkerStatus{}, Unseen: []string{}}
	reads := []func(context.Context, *overview) error{a.readRequests, a.readLanes, a.readRetries, a.readDeadLetters, a.readBatches, a.readSpent, a.readWorkers}
	errs := make([]error, len(reads))
	var wg sync.WaitGroup
	for i, read := range reads {
		wg.Go(func() { errs[i] = read(ctx, o) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			o.Unseen = append(o.Unseen, plain(err.Error()))
		}
	}
	return o
}

func (a *adminClient) readRequests(ctx context.Context, o *overview) (err error) {
	_, o.Requests, err = a.queue(ctx, a.names.RequestsStream(), a.names.RequestQueue)
	return err
}

func (a *adminClient) readRetries(ctx context.Context, o *overview) error {
	stream, queue, err := a.queue(ctx, a.names.RetriesStream(), a.names.Retries())
	o.Retries = queue
	if queue == nil {
		return err
	}
	o.Scheduled = &scheduledState{Waiting: queue.depth.Scheduled(stream.CachedInfo().State.Msgs)}
	if o.Scheduled.Waiting == 0 || o.Scheduled.Waiting > schedulesRead {
		return err
	}
	next, readErr := a.nextSchedule(ctx, stream)
	if !next.IsZero() {
		o.Scheduled.NextAt = &next
	}
	return errors.Join(err, readErr)
}

// queue reads the state of a queue and of its consumer. What could be read is
// returned beside an error.
func (a *adminClient) queue(ctx context.Context, name, subject string) (jetstream.Stream, *queueState, error) {
	stream, err := a.stream(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	depth, err := a.depth(ctx, name, bus.Durable)
	if err != nil {
		return stream, nil, err
	}
	q := &queueState{Waiting: depth.Waiting, InFlight: depth.InFlight, Bytes: stream.CachedInfo().State.Bytes, PausedUntil: depth.PausedUntil, depth: depth}
	oldest, err := a.conn.OldestWaiting(ctx, name, subject, depth)
	if err != nil {
		return stream, q, fmt.Errorf("stream %s: %w", name, err)
	}
	if !oldest.IsZero() {
		at := oldest.UTC()
		q.OldestAt = &at
	}
	return stream, q, nil
}

// depth reads how many messages of a stream's queue wait and are in flight.
func (a *adminClient) depth(ctx context.Context, stream, consumer string) (bus.Depth, error) {
	depth, err := a.conn.DepthOf(ctx, stream, consumer)
	if err != nil {
		return depth, fmt.Errorf("consumer %s of %s: %w", consumer, stream, err)
	}
	return depth, nil
}

// nextSchedule returns when the next of a few schedules fires.
func (a *adminClient) nextSchedule(ctx context.Context, stream jetstream.Stream) (next time.Time, err error) {
	for sequence, n := uint64(1), 0; n < schedulesRead; n++ {
		m, err := a.next(ctx, stream, sequence, a.names.LaterAll())
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

func (a *adminClient) readDeadLetters(ctx context.Context, o *overview) error {
	stream, err := a.stream(ctx, a.names.DeadlettersStream())
	if err != nil {
		return err
	}
	state := stream.CachedInfo().State
	o.DeadLetters = &deadLetterState{Total: state.Msgs}
	if state.NumSubjects > subjectsRead {
		return nil
	}
	o.DeadLetters.ByCode = map[string]uint64{}
	if state.Msgs == 0 {
		return nil
	}
	return a.conn.Do(ctx, "."+a.names.DeadlettersStream(), func(ctx context.Context) error {
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(a.names.DeadlettersAll()))
		if err != nil {
			return fmt.Errorf("stream %s: %w", a.names.DeadlettersStream(), err)
		}
		for subject, n := range info.State.Subjects {
			o.DeadLetters.ByCode[string(a.newDeadLetter(subject, nil, 0, time.Time{}).Code)] += n
		}
		return nil
	})
}
