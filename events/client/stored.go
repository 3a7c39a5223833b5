package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

const (
	// lookEvery is the longest time between two looks for a stored result: what is
	// published while the connection is cut is not heard.
	lookEvery = 10 * time.Second
	lookTime  = 5 * time.Second // for an answer
	// lookSoon is the first time between two looks for a result that was heard and is not
	// there yet, since another copy of the stream answers. It doubles.
	lookSoon = 2 * time.Millisecond
	// nobodyMost is how many looks, one a second, a stream may be away for: another one of
	// its servers takes over meanwhile.
	nobodyMost = 30
)

// await returns the result's message. The subscription is there, so what is not stored at
// the first look is heard; and what was missed is found by a later one.
func (h *Handle) await(ctx context.Context, heard <-chan *nats.Msg, again <-chan nats.Status) (*nats.Msg, error) {
	nobody := 0 // looks in a row that nobody answered
	for pause := lookEvery; ; {
		m, err := h.stored(ctx)
		if nobody++; !errors.Is(err, nats.ErrNoResponders) {
			nobody = 0
		}
		switch {
		case m != nil:
			return m, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case nobody == nobodyMost:
			return nil, fmt.Errorf("%w (%w)", ErrNoResults, err)
		case err != nil: // NATS is away
			pause = min(pause, time.Second)
		}
		select {
		case m := <-heard:
			if h.client.live {
				return m, nil
			}
			pause = lookSoon
		case <-again: // what was published meanwhile was not heard
		case <-time.After(pause):
			pause = min(2*pause, lookEvery)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// getSubject asks for the stored result by a direct get, which a backend has the right
// to (ADR-31).
func (h *Handle) getSubject() string {
	c := h.client
	return c.api + ".DIRECT.GET." + c.names.ResponsesStream() + "." + events.AnyResult(h.callback, h.id)
}

// stored returns the result's message, nil if there is none.
func (h *Handle) stored(ctx context.Context) (*nats.Msg, error) {
	once, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	m, err := h.client.nc.RequestWithContext(once, h.getSubject(), nil)
	if err != nil {
		return nil, err
	}
	subject := m.Header.Get(jetstream.SubjectHeader)
	if _, _, id, ok := events.ParseResult(subject); !ok || id != events.CanonicalID(h.id) { // the server's word that there is none
		return nil, nil //nolint:nilnil // there is none
	}
	m.Subject = subject
	return m, nil
}

// decode reads a result, and its object where it refers to one. The error is a
// FailedError, says that it is none, or is one of resolve.
func (c *Client) decode(ctx context.Context, m *nats.Msg) (events.Result, error) {
	r, err := events.DecodeResult(m.Data)
	if err != nil {
		return r, fmt.Errorf("%s: %w", m.Subject, err)
	}
	if r.ResultRef != nil {
		if r, err = c.resolve(ctx, r); err != nil {
			return r, err
		}
	}
	r.ModelRequested, r.Tenant, r.Key = m.Header.Get(events.HeaderModelRequested), m.Header.Get(events.HeaderTenant), m.Header.Get(events.HeaderKey)
	return r, failure(r)
}
