package bus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrTooLarge is a message that is larger than the server accepts, or its headers
// are.
var ErrTooLarge = errors.New("the message is larger than the server accepts")

// Answers to a compare-and-set. Every other error of a publish is worth another
// try.
var (
	errConflict    = errors.New("the last message of this subject is another one")
	errUncommitted = errors.New("another message of this subject is being stored")
)

// JetStream's error codes (nats-server, errors.json). The first two are of a
// compare-and-set: another sequence, and a conflict with a message that is not
// committed yet.
const (
	jsErrWrongLastSequence = 10071
	jsErrUncommitted       = 10164
	jsErrMessageTooLarge   = 10054
	jsErrHeadersTooLarge   = 10097 // over 65,535 bytes, whatever max_payload is
	jsErrNoMessage         = 10037
	jsErrStorageResources  = 10047
)

// classify is the one place that knows what JetStream's error codes mean for a
// publish.
func classify(err error) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return errors.Join(ErrTooLarge, err)
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err
	}
	switch api.ErrorCode { //nolint:exhaustive // the others are worth another try
	case jsErrWrongLastSequence:
		return errors.Join(errConflict, err)
	case jsErrUncommitted:
		return errors.Join(errUncommitted, err)
	case jsErrMessageTooLarge, jsErrHeadersTooLarge:
		return errors.Join(ErrTooLarge, err)
	}
	return err
}

// decided reports whether trying again would not change the outcome.
func decided(err error) bool { return errors.Is(err, errConflict) || errors.Is(err, ErrTooLarge) }

// errorType names an error of NATS for spans and metrics; "" for others.
func errorType(err error) string {
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
