package bus

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// DeadLetter keeps the original of a request that failed for good, so that an
// operator can look at it and replay it.
type DeadLetter struct {
	Code   events.Code
	Reason string // a sentence
}

type deadletters struct{ streams *streams }

// put stores a delivery under its failure code and its id, if it has a usable
// one. Storing the same queue message twice within JetStream's duplicate window is
// one dead letter. Headers that make it too large are left behind rather than the
// body. Errors: ErrTooLarge, ctx's cause.
func (l *deadletters) put(ctx context.Context, d *Delivery, kept DeadLetter) error {
	with := func(header events.Header) error {
		_, err := l.streams.put(ctx, func() *nats.Msg {
			m := &nats.Msg{Subject: l.streams.names.Deadletter(kept.Code, d.asked.ID), Header: cloneHeader(header), Data: d.Body}
			m.Header.Set(events.HeaderReason, oneLine(kept.Reason))
			return m
		}, jetstream.WithMsgID(d.message()))
		return err
	}
	err := with(events.AsOriginal(d.Header))
	if errors.Is(err, ErrTooLarge) {
		err = with(nil)
	}
	return err
}

// oneLine makes a sentence fit for a header.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
