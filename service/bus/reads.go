package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// last returns the last message whose subject matches, as the stream's leader has
// it; nil if there is none. What decides over life or payment is read so: a direct
// get is answered by any copy of the stream, and one that lags behind has neither
// the newest heartbeat nor the newest result. Errors: ErrRefused, ctx's cause.
func (s *streams) last(ctx context.Context, stream jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	return s.read(ctx, s.leader(stream, subject))
}

// question asks a stream once.
type question func(context.Context) (*jetstream.RawStreamMsg, error)

// leader asks the stream's leader for the last message of a subject.
func (s *streams) leader(stream jetstream.Stream, subject string) question {
	return s.message(stream.CachedInfo().Config.Name, map[string]any{"last_by_subj": subject})
}

// message asks a stream's leader for one message.
func (s *streams) message(stream string, which map[string]any) question {
	return func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		m, err := s.conn.message(ctx, stream, which)
		if errors.Is(err, errNoMessage) {
			return nil, nil //nolint:nilnil // there is none
		}
		return m, err
	}
}

// message asks a stream's leader for one message, once. Errors: errNoMessage, those of
// request.
func (c *Conn) message(ctx context.Context, stream string, which map[string]any) (*jetstream.RawStreamMsg, error) {
	var answer struct {
		Message struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := c.request(ctx, nextMessage(stream), which, &answer); err != nil {
		return nil, err
	}
	m := answer.Message
	header, _ := nats.DecodeHeadersMsg(m.Header) // what cannot be read is none, as it is for nats.go
	return &jetstream.RawStreamMsg{Subject: m.Subject, Sequence: m.Sequence, Header: header, Data: m.Data, Time: m.Time}, nil
}

// looksAtOnce bounds the looks for results and schedules, which bring the whole
// message where there is one: many duplicates of requests with large results must not
// take more memory than the budget knows of. A look takes milliseconds at most, so
// this many serve thousands of requests a second.
const looksAtOnce = 16

// bounded has a question wait while looksAtOnce others are under way.
func (s *streams) bounded(ask question) question {
	return func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		select {
		case s.looks <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		defer func() { <-s.looks }()
		return ask(ctx)
	}
}

// look is last where every request looks, and nearly none finds: a stream without
// further copies is asked by a direct get, which cannot lag there. It costs 9 µs of
// the worker and 9 of the server, and a leader's answer 14 and 31 (measured on
// nats-server 2.15.2, 256 at once). backlog sees within readInterval that a stream
// got copies.
func (s *streams) look(ctx context.Context, stream jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	if _, copied := s.copied.Load(stream.CachedInfo().Config.Name); copied {
		return s.read(ctx, s.bounded(s.leader(stream, subject)))
	}
	return s.read(ctx, s.bounded(func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		m, err := stream.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, nil //nolint:nilnil // there is none
		}
		return m, err
	}))
}

// read asks patiently. Errors: ErrRefused, ctx's cause.
func (s *streams) read(ctx context.Context, ask question) (found *jetstream.RawStreamMsg, err error) {
	err = s.patiently(ctx, func(ctx context.Context) error {
		found, err = ask(ctx)
		return classify(err)
	})
	return found, err
}
