package service

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// deadletters keeps the originals of what failed for good, so that an operator
// can look at them and send them again.
type deadletters struct{ broker *broker }

// bury stores a delivery under its failure code; id is "" when the message has
// no usable one. Storing the same queue message twice within JetStream's
// duplicate window is one dead letter. Headers that make it too large are left
// behind rather than the body. Errors: errTooLarge, ctx's cause.
func (l *deadletters) bury(ctx context.Context, d delivery, code events.Code, id, reason string) error {
	err := l.try(ctx, d, events.AsOriginal(d.Header), code, id, reason)
	if errors.Is(err, errTooLarge) {
		err = l.try(ctx, d, nil, code, id, reason)
	}
	return err
}

func (l *deadletters) try(ctx context.Context, d delivery, header events.Header, code events.Code, id, reason string) error {
	return l.broker.patiently(ctx, func(ctx context.Context) error {
		m := &nats.Msg{Subject: l.broker.names.Deadletter(code, id), Header: cloneHeader(header), Data: d.Body}
		m.Header.Set(events.HeaderReason, headerValue(reason))
		_, err := l.broker.put(ctx, m, jetstream.WithMsgID(strings.Replace(d.message(), " ", "/", 1)))
		return err
	})
}

// headerValue makes a sentence fit for a header: one line.
func headerValue(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
