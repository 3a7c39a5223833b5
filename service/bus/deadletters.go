package bus

import (
	"context"
	"errors"
	"strconv"
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

// cut bounds what is kept of a message without a usable id: the beginning of its
// body, and its headers if they are few.
func cut(body []byte, header events.Header) ([]byte, events.Header) {
	size := 0
	for name, values := range header {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	if size > unusableHeaders {
		header = events.Header{}
	}
	if len(body) > unusableBody {
		header[events.HeaderTruncated] = []string{strconv.Itoa(len(body))}
		body = body[:unusableBody]
	}
	return body, header
}

// put stores a delivery under its failure code and its id, if it has a usable
// one. Storing the same queue message twice within JetStream's duplicate window is
// one dead letter. Headers that make it too large are left behind rather than the
// body. Without a usable id only the beginning of it is kept. Errors: ErrTooLarge,
// ctx's cause.
func (l *deadletters) put(ctx context.Context, d *Delivery, kept DeadLetter) error {
	body, header := d.Body, events.AsOriginal(d.Header)
	if d.asked.ID == "" {
		body, header = cut(body, header)
	}
	with := func(header events.Header) error {
		_, err := l.streams.put(ctx, func() *nats.Msg {
			m := &nats.Msg{Subject: l.streams.names.Deadletter(kept.Code, d.asked.ID), Header: cloneHeader(header), Data: body}
			m.Header.Set(events.HeaderReason, oneLine(kept.Reason))
			return m
		}, jetstream.WithMsgID(d.message()))
		return err
	}
	err := with(header)
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
