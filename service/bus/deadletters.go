package bus

import (
	"context"
	"maps"
	"strconv"

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
// one dead letter. Headers that it cannot carry are left behind rather than the
// body. Without a usable id only the beginning of the body is kept, and few headers.
// Errors: ErrTooLarge, ErrRefused, ctx's cause.
func (l *deadletters) put(ctx context.Context, d *Delivery, kept DeadLetter) error {
	body := d.Body
	own := d.ofTenant()
	own[events.HeaderReason], own[jetstream.MsgIDHeader] = []string{oneLine(kept.Reason)}, []string{d.message()}
	if d.asked.ID == "" && len(body) > unusableBody {
		own[events.HeaderTruncated] = []string{strconv.Itoa(len(body))}
		body = body[:unusableBody]
	}
	room := l.streams.room(body, own, 0)
	if d.asked.ID == "" {
		room = min(room, unusableHeaders)
	}
	with := func(room int) error {
		header := fitting(events.AsOriginal(d.Header), room)
		maps.Copy(header, own)
		_, err := l.streams.put(ctx, func() *nats.Msg {
			return &nats.Msg{Subject: l.streams.names.Deadletter(kept.Code, d.asked.ID), Header: cloneHeader(header), Data: body}
		})
		return err
	}
	err := with(room)
	if Refused(err) && len(d.Header) > 0 { // by a limit of the stream
		err = with(0)
	}
	return err
}
