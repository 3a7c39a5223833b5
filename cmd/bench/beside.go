package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// backlogIndex is the number of the first request of a backlog that others are measured
// beside.
const backlogIndex = 1 << 41

// A load is requests whose waits are measured, alone and then beside a backlog.
type load struct {
	plan                           // its start is when it begins
	lasts   time.Duration          // each time
	ends    string                 // subjects on which their waits end
	endOf   func(*nats.Msg) string // the id of the request whose wait a message ends; "" for none
	backlog int                    // requests that wait meanwhile
	queue   string                 // where they wait
}

// requests is how many are published each time.
func (l load) requests() int { return max(2, int(l.lasts.Seconds()*float64(l.rate))) }

// besideRun measures a load alone, then with a backlog in the queue, in the same processes.
// They end with most of the backlog left: how long it takes is another scenario's.
func besideRun(ctx context.Context, r *run, set setting, l load) (err error) {
	s, err := r.bench.build(ctx, r.contender, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.declare(ctx, r.contender); err != nil {
		return err
	}
	for range r.contender.workers() {
		if _, err := s.start(ctx, r.contender); err != nil {
			return err
		}
	}
	if err := s.warm(ctx); err != nil {
		return err
	}
	r.say("alone")
	alone, err := s.timed(ctx, l)
	if err != nil {
		return err
	}
	if err := s.pileUp(ctx, r, l); err != nil {
		return err
	}
	before, err := s.spent()
	if err != nil {
		return err
	}
	r.sayf("beside %d", l.backlog)
	l.first = l.requests()
	beside, err := s.timed(ctx, l)
	if err != nil {
		return err
	}
	after, err := s.spent()
	if err != nil {
		return err
	}
	made := after.calls.Calls - before.calls.Calls
	r.note(backlogRate, float64(made-int64(l.requests()))/after.at.Sub(before.at).Seconds())
	r.note(peakCalls, float64(after.calls.Peak))
	r.noteBeside(alone, beside)
	return errors.Join(r.used(s, before.worker, before.server, int(made)), s.allProfiles(ctx), s.left(ctx), s.noneFailed(ctx))
}

// noteBeside notes the waits alone and beside the backlog, sorted.
func (r *run) noteBeside(alone, beside []float64) {
	for p, m := range map[float64][2]metric{50: {aloneHalf, besideHalf}, 95: {aloneTwentieth, besideTwentieth}, 99: {aloneTail, besideTail}} {
		r.note(m[0], percentile(alone, p))
		r.note(m[1], percentile(beside, p))
	}
	r.note(twentiethRatio, percentile(beside, 95)/percentile(alone, 95))
	r.note(tailMore, percentile(beside, 99)-percentile(alone, 99))
}

// timed publishes a load and returns the waits but those of the first seconds, sorted.
func (s *stage) timed(ctx context.Context, l load) ([]float64, error) {
	l.start = time.Now().Add(pollTime)
	watch := newStopwatch(l.plan, l.requests())
	sub, err := s.nc.Subscribe(l.ends, func(m *nats.Msg) {
		now, id := time.Now(), l.endOf(m)
		if i, _ := requestIndex(id); id != "" && i < backlogIndex {
			watch.stop(id, now)
		}
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(sub.SetPendingLimits(-1, -1), s.pace(ctx, l.plan, l.requests()), watch.await(ctx, s), sub.Unsubscribe()); err != nil {
		return nil, err
	}
	return watch.milliseconds(min(l.requests()/2, int(warmTime.Seconds())*l.rate)), nil
}

// pileUp publishes the backlog and waits until it uses the slots.
func (s *stage) pileUp(ctx context.Context, r *run, l load) error {
	r.sayf("publishing %d", l.backlog)
	if err := s.fillQueue(ctx, l.queue, backlogIndex, l.backlog); err != nil {
		return err
	}
	const most = 0.8 // the slow lane leaves some free
	for began := time.Now(); ; {
		var made calls
		if err := errors.Join(s.upstream.report(&made), s.gone(), s.left(ctx)); err != nil {
			return err
		}
		if float64(made.Now) >= most*float64(s.slots*r.contender.workers()) {
			return pause(ctx, r.bench.rest(warmTime))
		}
		if time.Since(began) > stallTime {
			return fmt.Errorf("the backlog uses %d of %d slots after %s", made.Now, s.slots, stallTime)
		}
		if err := pause(ctx, pollTime); err != nil {
			return err
		}
	}
}

var errNoBacklog = errors.New("the backlog had ended before the measurement did: give it more --requests, or fewer --seconds")

// left makes sure that a backlog waits.
func (s *stage) left(ctx context.Context) error {
	state, err := s.state(ctx, requestsStream)
	if err == nil && state.Msgs <= 2*uint64(s.slots) { //nolint:gosec // not negative
		err = errNoBacklog
	}
	return err
}

// spent is what has been used and called for so far.
type spent struct {
	at             time.Time
	worker, server usage
	calls          calls
}

func (s *stage) spent() (n spent, err error) {
	n.at = time.Now()
	if n.worker, err = sum(s.workers); err != nil {
		return n, err
	}
	if n.server, err = sum(s.natsChildren()); err != nil {
		return n, err
	}
	return n, s.upstream.report(&n.calls)
}

// resultOf is the id of the request whose result a message is.
func resultOf(m *nats.Msg) string { return strings.TrimPrefix(m.Subject, completedPrefix) }

// firstDeltaOf is the id of the request of whose answer a message is the first piece.
func firstDeltaOf(m *nats.Msg) string {
	var piece struct {
		ID    string `json:"request_id"`
		Index int    `json:"index"`
	}
	if json.Unmarshal(m.Data, &piece) != nil || piece.Index > 0 {
		return ""
	}
	return piece.ID
}
