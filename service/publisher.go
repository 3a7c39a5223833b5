package service

import (
	"context"
	"errors"
	"maps"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// record is the last result that is stored for a request.
type record struct {
	sequence  uint64 // 0: none
	completed bool
	messageID string // the Nats-Msg-Id it was stored with
}

// publication is one result on its way into the stream.
type publication struct {
	callback, id string
	completed    bool
	messageID    string
	header       map[string][]string
	body         []byte
	expect       uint64 // sequence of the result that it may follow; 0: of none
}

// publisher stores results, at most one for a request on a callback: the
// server refuses a second one by compare-and-set (design section 3).
type publisher struct{ broker *broker }

// lookup returns the last result of a request. It may miss a result stored in
// this moment (a direct get is answered by any replica); the compare-and-set
// will not.
func (p *publisher) lookup(ctx context.Context, callback, id string) (record, error) {
	m, err := p.broker.last(ctx, p.broker.responses, events.AnyResult(callback, id))
	if m == nil || err != nil {
		return record{}, err
	}
	return record{
		sequence:  m.Sequence,
		completed: m.Subject == events.Completed(callback, id),
		messageID: m.Header.Get(jetstream.MsgIDHeader),
	}, nil
}

// store returns whether the result is the stored one: true when it was stored,
// by this try or by one whose acknowledgement was lost, false when another
// result is there. It waits for NATS for as long as it takes. Errors:
// errTooLarge, ctx's cause; then nothing may be acknowledged.
func (p *publisher) store(ctx context.Context, r publication) (bool, error) {
	filter := events.AnyResult(r.callback, r.id)
	for {
		err := p.try(ctx, r, filter)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, errConflict) {
			return false, err
		}
		there, err := p.lookup(ctx, r.callback, r.id)
		switch {
		case err != nil:
			return false, err
		case there.sequence != 0 && there.messageID == r.messageID:
			return true, nil
		case there.sequence != 0 && there.sequence != r.expect:
			return false, nil
		}
		r.expect = there.sequence
	}
}

func (p *publisher) try(ctx context.Context, r publication, filter string) error {
	subject := events.Failed(r.callback, r.id)
	if r.completed {
		subject = events.Completed(r.callback, r.id)
	}
	return p.broker.patiently(ctx, func(ctx context.Context) error {
		m := &nats.Msg{Subject: subject, Header: cloneHeader(r.header), Data: r.body}
		_, err := p.broker.put(ctx, m, jetstream.WithMsgID(r.messageID), jetstream.WithExpectLastSequenceForSubject(r.expect, filter))
		return err
	})
}

func cloneHeader(h map[string][]string) nats.Header {
	clone := make(nats.Header, len(h)+4)
	maps.Copy(clone, h)
	return clone
}
