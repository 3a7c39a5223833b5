package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/events/bodies"
)

// reserved is what a request leaves of max_payload: 16 KiB that the queue keeps for headers
// of the service, and what the trace context and the message's id take.
const reserved = 16<<10 + 4<<10

// errUnread is an object that could not be read yet.
var errUnread = errors.New("the result's content could not be read")

// newBodies returns the object store of what is too large for a message. It asks nothing
// before it is used.
func (c *Client) newBodies() *bodies.Store {
	return &bodies.Store{
		Bucket:  c.names.BodiesBucket(),
		API:     func(question string) string { return c.api + "." + question },
		Chunk:   func() int { return bodies.ChunkSize(c.nc.MaxPayload()) },
		Request: c.ask,
		Publish: func(ctx context.Context, m *nats.Msg) error {
			return c.publish(ctx, m, m.Header.Get(jetstream.MsgIDHeader))
		},
	}
}

// mostBytes is the largest body of a request's message. The server says its max_payload
// when it is connected; until then nothing is too large.
func (c *Client) mostBytes() int {
	most := int(c.nc.MaxPayload())
	if most == 0 {
		return events.MaxBody
	}
	return most - reserved
}

// refer puts what is large of a request into the object store and returns the message's body
// without it. Where the rest is too large as well, NATS says so of the body as it is.
func (c *Client) refer(ctx context.Context, request events.Request, body []byte, most int) ([]byte, error) {
	rest, object := request.SplitBody()
	if len(body)-len(object) > most {
		return body, nil
	}
	if len(object) > events.MaxBody {
		return nil, fmt.Errorf("%w (it has %d bytes)", ErrTooLarge, len(object))
	}
	ref, err := c.bodies.Put(ctx, events.RequestBodyName(request.ID, cmp.Or(request.CallbackQueue, c.callback), events.BodyDigest(object)), object)
	switch {
	case errors.Is(err, ErrNoBodies):
		return nil, fmt.Errorf("%w: %w", ErrTooLarge, err)
	case err != nil:
		return nil, err
	}
	rest.BodyRef = &ref
	return json.Marshal(rest)
}

// ask has JetStream answer a question, and asks again while NATS is away. Errors:
// ErrNotAllowed, nats.ErrNoResponders, ctx's.
func (c *Client) ask(ctx context.Context, subject string, question []byte) (*nats.Msg, error) {
	ctx, stop := c.denials.during(ctx, subject)
	defer stop()
	for pause := firstWait; ; pause = min(2*pause, longWait) {
		once, cancel := context.WithTimeout(ctx, lookTime)
		m, err := c.nc.RequestWithContext(once, subject, question)
		cancel()
		switch {
		case err == nil:
			return m, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, nats.ErrNoResponders) || !passes(err):
			return nil, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// resolve returns the result whole to which an event refers. Beside an error it returns
// what there is. Errors: ErrNoBody; errUnread with ErrNotAllowed or ctx's.
func (c *Client) resolve(ctx context.Context, r events.Result) (events.Result, error) {
	ref := *r.ResultRef
	if !ref.OfResult(c.bodies.Bucket, r.RequestID) {
		return r, fmt.Errorf("%w: result_ref names %q in bucket %q, which is no result of this request", ErrNoBody, ref.Name, ref.Bucket)
	}
	object, err := c.bodies.Get(ctx, ref)
	switch {
	case errors.Is(err, bodies.ErrMissing), errors.Is(err, bodies.ErrBroken):
		return r, fmt.Errorf("%w: %w", ErrNoBody, err)
	case err != nil:
		return r, fmt.Errorf("%w: %w", errUnread, err)
	}
	whole, err := events.DecodeResult(object)
	if err == nil && (whole.RequestID != r.RequestID || whole.ResultRef != nil) {
		err = errors.New("it is another one's")
	}
	if err != nil {
		return r, fmt.Errorf("%w: the object is no result of this request: %w", ErrNoBody, err)
	}
	return whole, nil
}
