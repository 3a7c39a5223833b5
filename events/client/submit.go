package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"gemini-client/events"
)

const (
	tryTime   = 5 * time.Second        // for one acknowledgement
	firstWait = 100 * time.Millisecond // before a publish is tried again; doubles
	longWait  = 2 * time.Second
	// noStreamTries is how often a subject is tried that no stream answers for, in some
	// three seconds: another one of its servers takes over meanwhile.
	noStreamTries = 12
)

// Submit puts a request into the queue and returns when NATS has stored it. Without an ID
// the request gets a random one; without Parameters, the service's defaults; without a
// Timestamp, the time of now. A prompt, or messages, too large for a message travel as an
// object (BodyRef). With Stream, its deltas are received from now on until
// [Handle.Deltas] or [Handle.Close] has ended.
//
// While NATS is away it tries again until ctx ends, or for 30 seconds if ctx has no
// deadline: NATS drops what it has already. Errors: ErrTooLarge, ErrQueueFull,
// ErrNotAllowed, ErrNoService, ErrUnknown, an id that is no UUID, ctx's.
func (c *Client) Submit(ctx context.Context, request events.Request) (*Handle, error) {
	if _, set := ctx.Deadline(); !set {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, submitTime)
		defer cancel()
	}
	h, m, err := c.prepare(ctx, request)
	if err != nil {
		return nil, err
	}
	ctx, end := c.startPublish(ctx, m, h.id)
	if request.Stream {
		if err := h.hear(); err != nil {
			end(err)
			return nil, err
		}
	}
	err = c.publish(ctx, m, h.id)
	end(err)
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Submitted is what became of one request of [Client.SubmitMany].
type Submitted struct {
	Handle *Handle // nil beside an error
	Err    error   // as of Submit
}

// SubmitMany puts many requests into the queue, without waiting for each before the
// next. It returns one answer a request, in their order.
func (c *Client) SubmitMany(ctx context.Context, requests []events.Request) []Submitted {
	answers := make([]Submitted, len(requests))
	var all errgroup.Group
	all.SetLimit(submitsAtOnce)
	for i, request := range requests {
		all.Go(func() error {
			answers[i].Handle, answers[i].Err = c.Submit(ctx, request)
			return nil
		})
	}
	_ = all.Wait() // each has its own
	return answers
}

// submitsAtOnce is how many publishes of SubmitMany wait for their acknowledgements at
// the same time.
const submitsAtOnce = 256

// prepare makes the message of a request. A prompt that is too large for it is put into
// the object store.
func (c *Client) prepare(ctx context.Context, request events.Request) (*Handle, *nats.Msg, error) {
	switch {
	case request.ID == "":
		request.ID = uuid.NewString()
	case !events.ValidID(request.ID):
		return nil, nil, fmt.Errorf("the request's id is %q: want a UUID such as %s, or none", request.ID, uuid.NewString())
	}
	if request.CallbackQueue == "" && c.callback != c.names.ResponseQueue {
		request.CallbackQueue = c.callback
	}
	if request.Timestamp.IsZero() {
		request.Timestamp = time.Now().UTC()
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, nil, fmt.Errorf("encode the request: %w", err)
	}
	if most := c.mostBytes(); len(body) > most && request.BodyRef == nil {
		if body, err = c.refer(ctx, request, body, most); err != nil {
			return nil, nil, err
		}
	}
	h := c.open(request.ID, request.CallbackQueue)
	return h, &nats.Msg{Subject: c.names.RequestQueue, Header: nats.Header{}, Data: body}, nil
}

// publish has NATS store a request, and tries again while that may help.
func (c *Client) publish(ctx context.Context, m *nats.Msg, id string) error {
	ctx, stop := c.denials.during(ctx, m.Subject)
	defer stop()
	for pause := firstWait; ; pause = min(2*pause, longWait) {
		once, cancel := context.WithTimeout(ctx, tryTime)
		_, err := c.js.PublishMsg(once, m, jetstream.WithMsgID(id), jetstream.WithRetryAttempts(noStreamTries))
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return unfinished(ctx, err)
		}
		if err := classify(err); !passes(err) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return unfinished(ctx, err)
		}
	}
}

// unfinished is the error of a publish that was not acknowledged when its time was over.
func unfinished(ctx context.Context, last error) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ErrNotAllowed) {
		return cause
	}
	return fmt.Errorf("%w (%w; %w)", ErrUnknown, last, cause)
}
