package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// Times of the idle scenario: until the process has come to rest, and while it is
// watched.
const (
	settleTime = 5 * time.Second
	watchTime  = 20 * time.Second
)

// idleRun notes how soon a process answers what waits, and what it takes while
// there is nothing to do.
func idleRun(ctx context.Context, r *run, set setting) (err error) {
	s, err := r.bench.build(ctx, r.contender, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.fill(ctx, 0, 1); err != nil {
		return err
	}
	worker, err := s.start(ctx, r.contender)
	if err != nil {
		return err
	}
	if err := s.answered(ctx, 1, func(int) error { return nil }); err != nil {
		return err
	}
	results, err := s.state(ctx, responsesStream)
	if err != nil {
		return err
	}
	r.note(startTime, milliseconds(results.LastTime.Sub(worker.started)))
	r.say("idle")
	if err := pause(ctx, settleTime); err != nil {
		return err
	}
	before, err := worker.usage()
	if err != nil {
		return err
	}
	messages, err := s.messages(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := pause(ctx, watchTime); err != nil {
		return err
	}
	after, err := worker.usage()
	if err != nil {
		return err
	}
	sent, err := s.messages(ctx)
	if err != nil {
		return err
	}
	watched := time.Since(began)
	r.note(idleMemory, megabytes(after.memory))
	r.note(idleCPU, 100*float64(after.cpu-before.cpu)/float64(watched))
	r.note(idleMessages, float64(sent-messages)/watched.Seconds())
	return s.check(ctx, 1)
}

// messages is how many messages the servers have received from clients.
func (s *stage) messages(ctx context.Context) (int64, error) {
	t, err := s.traffic(ctx)
	return t.In, err
}

// traffic is how many messages the servers have received from clients and sent to them.
type traffic struct {
	In  int64 `json:"in_msgs"`
	Out int64 `json:"out_msgs"`
}

func (s *stage) traffic(ctx context.Context) (all traffic, err error) {
	for _, server := range s.servers {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.monitor+"/varz", http.NoBody)
		if err != nil {
			return all, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return all, err
		}
		var varz traffic
		err = errors.Join(json.NewDecoder(response.Body).Decode(&varz), response.Body.Close())
		if err != nil {
			return all, err
		}
		all.In, all.Out = all.In+varz.In, all.Out+varz.Out
	}
	return all, nil
}
