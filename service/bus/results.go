package bus

import (
	"context"
	"errors"
	"maps"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/telemetry"
)

// errSecond tells on a span that a second result was not stored.
var errSecond = errors.New("another result was stored first")

// record is the last result that is stored for a request.
type record struct {
	sequence  uint64 // 0: none
	completed bool
	messageID string // the Nats-Msg-Id it was stored with
}

// publication is one result on its way into the stream.
type publication struct {
	callback, id string
	subject      string
	messageID    string
	header       events.Header
	body         []byte
	expect       uint64 // sequence of the result that it may follow; 0: of none
}

// results stores results, at most one for a request on a callback: the server
// refuses a second one by compare-and-set.
type results struct {
	streams *streams
	source  string // of the events: a URI reference, as CloudEvents wants it
	tel     *telemetry.Telemetry
	noRoom  func() // called when the stream refuses a result for want of room; nil: nobody asks
}

// lookup returns the last result of a request. Errors: ErrRefused, ctx's cause.
func (r *results) lookup(ctx context.Context, callback, id string) (record, error) {
	m, err := r.streams.look(ctx, r.streams.responses, events.AnyResult(callback, id))
	if m == nil || err != nil {
		return record{}, err
	}
	_, verdict, _, _ := events.ParseResult(m.Subject)
	return record{sequence: m.Sequence, completed: verdict == events.VerdictCompleted, messageID: m.Header.Get(jetstream.MsgIDHeader)}, nil
}

// answered reports whether a result is stored that settles a delivery. An
// operator's replay goes on after the very failure it follows, and when no
// result is kept any more.
func (r *results) answered(ctx context.Context, d *Delivery, callback, id string) (bool, error) {
	there, err := r.lookup(ctx, callback, id)
	if err != nil || there.sequence == 0 {
		return false, err
	}
	return there.completed || there.sequence != d.Follows, nil
}

// publish stores a result in its span, with a message id made for this try. It
// returns what store returns.
func (r *results) publish(ctx context.Context, callback string, result events.Result, follows uint64) (bool, error) {
	body, err := result.Encode()
	if err != nil {
		return false, errors.Join(ErrRefused, err)
	}
	subject := events.Failed
	if result.Status == events.StatusSuccess {
		subject = events.Completed
	}
	p := publication{
		callback: callback, id: result.RequestID, subject: subject(callback, result.RequestID),
		messageID: events.MessageID(result.RequestID, uuid.NewString()), body: body, expect: follows,
	}
	ctx, span := r.tel.StartPublish(ctx, subject(callback, "{request_id}"), p.messageID)
	p.header = events.ResultHeader(result, p.messageID, r.source, result.Timestamp)
	maps.Copy(p.header, r.trace(ctx, p))
	stored, err := r.store(ctx, p)
	switch {
	case errors.Is(err, ErrTooLarge):
		span.End("too_large", err)
	case errors.Is(err, ErrRefused):
		span.End("refused", err)
	case err != nil:
		span.End("store", err)
	case !stored:
		span.End("refused", errSecond)
	default:
		span.End("", nil)
	}
	return stored, err
}

// trace is the trace context of a result, with as much of what the requester added
// to it as there is room for: baggage is no reason to lose an answer.
func (r *results) trace(ctx context.Context, p publication) events.Header {
	header := events.Header{}
	if r.tel.Inject(ctx, header); len(header) == 0 {
		return nil
	}
	set := maps.Clone(p.header)
	set[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{events.AnyResult(p.callback, p.id)}
	return fitting(header, r.streams.room(p.body, set, r.streams.responses.CachedInfo().Config.MaxMsgSize))
}

// store returns whether the result is the stored one: true when it was stored,
// by this try or by one whose acknowledgement was lost, false when another
// result is there. It waits for NATS for as long as it takes. Errors:
// ErrTooLarge, ErrRefused, ctx's cause; then it is not stored.
func (r *results) store(ctx context.Context, p publication) (bool, error) {
	filter := events.AnyResult(p.callback, p.id)
	for {
		err := r.streams.patiently(ctx, func(ctx context.Context) error {
			_, err := r.streams.putOnce(ctx, func() *nats.Msg { return &nats.Msg{Subject: p.subject, Header: cloneHeader(p.header), Data: p.body} },
				withID(p.messageID), expectLastOf(filter, p.expect))
			if r.noRoom != nil && streamFull(err) {
				r.noRoom()
			}
			return err
		})
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, errConflict) {
			return false, err
		}
		there, err := r.lookup(ctx, p.callback, p.id)
		switch {
		case err != nil:
			return false, err
		case there.sequence != 0 && there.messageID == p.messageID:
			return true, nil
		case there.sequence != 0 && there.sequence != p.expect:
			return false, nil
		}
		p.expect = there.sequence
	}
}

// cloneHeader copies headers for one try of a publish, which adds its own.
func cloneHeader(h events.Header) nats.Header {
	clone := make(nats.Header, len(h)+4)
	maps.Copy(clone, h)
	return clone
}
