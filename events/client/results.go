package client

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// remembered is how many results a loop over [Client.Results] knows again.
const remembered = 10_000

// Received is a result from a durable reader.
type Received struct {
	events.Result
	// EventID is the CloudEvents id (ce-id): the same for each delivery of one result.
	EventID string
	// Callback is the queue that the result was sent to.
	Callback string

	header nats.Header
	client *Client
}

// Context returns a context whose spans belong to the trace of the result.
func (r Received) Context(parent context.Context) context.Context {
	return r.client.propagator.Extract(parent, carrier(r.header))
}

// Results are all results that a durable reader has not acknowledged, and then each that
// comes. An operator makes the reader: gemini-client provision --reader NAME. Failed ones
// come beside a [FailedError], those whose content cannot be read beside ErrNoBody. Any other
// error ends the loop: ErrNotAllowed, a reader that is not there, ctx's.
//
// A result is acknowledged when the loop goes on to the next one. The one that a loop is
// left at comes again, as does one whose loop takes longer than the reader's AckWait. What
// this loop has seen before is acknowledged and dropped: the last 10,000 are known.
func (c *Client) Results(ctx context.Context, durable string) iter.Seq2[Received, error] {
	return func(yield func(Received, error) bool) {
		ctx, stop := c.denials.during(ctx, c.api+".CONSUMER.MSG.NEXT."+c.names.ResponsesStream()+"."+durable)
		defer stop()
		messages, err := c.read(ctx, durable)
		if err != nil {
			yield(Received{}, err)
			return
		}
		defer messages.Stop()
		seen := newRecent(remembered)
		for {
			m, err := messages.Next(jetstream.NextContext(ctx))
			if err != nil {
				yield(Received{}, ended(ctx, err))
				return
			}
			r, err := c.received(ctx, m)
			if errors.Is(err, errUnread) { // it comes again
				yield(r, ended(ctx, err))
				return
			}
			if (r.EventID == "" || seen.add(r.EventID)) && !yield(r, err) {
				return
			}
			_ = m.Ack() // else it comes again
		}
	}
}

// read begins to read.
func (c *Client) read(ctx context.Context, durable string) (jetstream.MessagesContext, error) {
	during, stop := c.denials.during(ctx, c.api+".CONSUMER.INFO."+c.names.ResponsesStream()+"."+durable)
	defer stop()
	consumer, err := c.js.Consumer(during, c.names.ResponsesStream(), durable)
	switch {
	case errors.Is(context.Cause(during), ErrNotAllowed):
		return nil, context.Cause(during)
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return nil, fmt.Errorf("there is no durable reader %q: an operator makes it with `gemini-client provision --reader %s` (%w)", durable, durable, err)
	case err != nil:
		return nil, fmt.Errorf("durable reader %q: %w", durable, err)
	}
	return consumer.Messages()
}

// received reads a result. What is none is an error.
func (c *Client) received(ctx context.Context, m jetstream.Msg) (Received, error) {
	r := Received{EventID: m.Headers().Get("ce-id"), header: m.Headers(), client: c}
	r.Callback, _, _, _ = events.ParseResult(m.Subject())
	var err error
	r.Result, err = c.decode(ctx, &nats.Msg{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
	return r, err
}

// ended is why a loop ends.
func ended(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// recent are the last names that were added.
type recent struct {
	order []string
	next  int
	known map[string]struct{}
}

func newRecent(most int) *recent {
	return &recent{order: make([]string, most), known: make(map[string]struct{}, most)}
}

// add returns whether a name is new.
func (r *recent) add(name string) bool {
	if _, there := r.known[name]; there {
		return false
	}
	delete(r.known, r.order[r.next])
	r.order[r.next], r.known[name] = name, struct{}{}
	r.next = (r.next + 1) % len(r.order)
	return true
}
