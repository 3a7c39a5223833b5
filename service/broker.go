package service

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// brokerTimeout bounds one request to JetStream. It is set for each try: the
// client's own default applies only to contexts without a deadline, and a
// request's deadline may be minutes away.
const brokerTimeout = 5 * time.Second

// Errors of broker.put that a caller decides on; every other error is worth
// another try.
var (
	errConflict = errors.New("the last message of this subject is another one")
	errInFlight = errors.New("another message of this subject is being stored")
	errTooLarge = errors.New("the message is larger than the server accepts")
)

// errNoMessage is request's answer when no message matches.
var errNoMessage = errors.New("no message matches")

// jsErrWrongLastSequence and jsErrInFlight are JetStream's answers to a
// compare-and-set that did not match (nats-server errors.json, 10071 and
// 10164; the latter for a conflict with a message not yet committed).
const (
	jsErrWrongLastSequence = 10071
	jsErrInFlight          = 10164
	jsErrMessageTooLarge   = 10054
	jsErrNoMessage         = 10037
	jsErrStorageResources  = 10047
)

// broker is the service's way to its streams: the last message of a subject,
// and storing one on conditions. One try each; patiently repeats.
type broker struct {
	nc        *nats.Conn
	js        jetstream.JetStream
	api       func(question string) string // NATS.API
	names     events.Names
	log       *slog.Logger
	responses jetstream.Stream
	claims    jetstream.Stream
	retries   jetstream.Stream
	patience  failsafe.Executor[any]
}

// newBroker binds the streams that are read; they exist (topology).
func newBroker(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, api func(string) string, names events.Names, log *slog.Logger) (*broker, error) {
	b := &broker{nc: nc, js: js, api: api, names: names, log: log}
	bind := []struct {
		to   *jetstream.Stream
		name string
	}{{&b.responses, names.ResponsesStream()}, {&b.claims, names.ClaimsStream()}, {&b.retries, names.RetriesStream()}}
	for _, stream := range bind {
		s, err := js.Stream(ctx, stream.name)
		if err != nil {
			return nil, err
		}
		*stream.to = s
	}
	away := newRepeats(log)
	b.patience = failsafe.With(retrypolicy.NewBuilder[any]().
		HandleIf(func(_ any, err error) bool { return err != nil && !decided(err) }).
		WithMaxRetries(-1).
		WithBackoff(100*time.Millisecond, 2*time.Second).
		WithJitterFactor(0.2).
		OnRetry(func(e failsafe.ExecutionEvent[any]) {
			if e.Retries() == 3 { // a blip is not worth a line, and what waits in every slot is worth one
				away.say("NATS does not answer, trying again until it does", e.LastError())
			}
		}).
		Build())
	return b, nil
}

// brokerFault names an error of NATS for spans and metrics; "" for others.
func brokerFault(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return "timeout"
	case errors.Is(err, nats.ErrNoResponders):
		return "no_responders"
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrConnectionReconnecting), errors.Is(err, nats.ErrReconnectBufExceeded):
		return "disconnected"
	}
	return ""
}

func decided(err error) bool {
	return errors.Is(err, errConflict) || errors.Is(err, errTooLarge)
}

// patiently repeats a try until it succeeds, is decided, or ctx ends. The
// error is then errConflict, errTooLarge or ctx's cause.
func (b *broker) patiently(ctx context.Context, try func(ctx context.Context) error) error {
	err := b.patience.WithContext(ctx).RunWithExecution(func(e failsafe.Execution[any]) error {
		one, cancel := context.WithTimeout(e.Context(), brokerTimeout)
		defer cancel()
		return try(one)
	})
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// last returns the last message whose subject matches, nil if there is none.
func (b *broker) last(ctx context.Context, stream jetstream.Stream, subject string) (*jetstream.RawStreamMsg, error) {
	var found *jetstream.RawStreamMsg
	err := b.patiently(ctx, func(ctx context.Context) error {
		m, err := stream.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		found = m
		return err
	})
	return found, err
}

// request asks JetStream's API one question (a body, nil for none) and decodes
// its answer. It is for what nats.go cannot ask. Errors: errNoMessage,
// *jetstream.APIError, those of the connection.
func request(ctx context.Context, nc *nats.Conn, subject string, body, answer any) error {
	var encoded []byte
	if body != nil {
		var err error
		if encoded, err = json.Marshal(body); err != nil {
			return err
		}
	}
	m, err := nc.RequestWithContext(ctx, subject, encoded)
	if err != nil {
		return err
	}
	var failed struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &failed); err != nil {
		return err
	}
	switch {
	case failed.Error == nil:
		return json.Unmarshal(m.Data, answer)
	case failed.Error.ErrorCode == jsErrNoMessage:
		return errNoMessage
	}
	return failed.Error
}

// put stores a message once and returns its sequence. Conflicts with a message
// that is not committed yet (10164) are waited out here.
func (b *broker) put(ctx context.Context, m *nats.Msg, options ...jetstream.PublishOpt) (uint64, error) {
	for {
		ack, err := b.js.PublishMsg(ctx, m, options...)
		switch err = classify(err); {
		case err == nil:
			return ack.Sequence, nil
		case !errors.Is(err, errInFlight):
			return 0, err
		}
		pause := time.NewTimer(10*time.Millisecond + rand.N(40*time.Millisecond)) //nolint:gosec // spreads competitors, no secret
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return 0, context.Cause(ctx)
		}
	}
}

// classify is the one place that knows JetStream's error codes.
func classify(err error) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return errors.Join(errTooLarge, err)
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err
	}
	kind := map[jetstream.ErrorCode]error{
		jsErrWrongLastSequence: errConflict, jsErrInFlight: errInFlight, jsErrMessageTooLarge: errTooLarge,
	}[api.ErrorCode]
	return errors.Join(kind, err)
}
