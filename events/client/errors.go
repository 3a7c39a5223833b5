package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/events/bodies"
)

// Why a request is not in the queue. Each comes at once, and its text says the way out.
var (
	// ErrQueueFull is a queue at its limit (REQUESTS_MAX_BYTES), or a server without room.
	ErrQueueFull = errors.New("the request queue is full: submit again later, or let its operators raise REQUESTS_MAX_BYTES or the number of workers")
	// ErrTooLarge is a request that the server does not take because of its size.
	ErrTooLarge = errors.New("the request is larger than the queue takes (max_payload less 16 KiB, as `gemini-client provision` sets it): make smaller what is not its prompt, which may have 64 MiB")
	// ErrNotAllowed is something that this NATS user has no permission for.
	ErrNotAllowed = errors.New("this NATS user may not do that: give it the rights of `backend` in deploy/nats/nats.conf")
	// ErrNoService is a subject that no stream takes.
	ErrNoService = errors.New("no stream takes the request: has a service run against this server, or `gemini-client provision`? With accounts, is the API prefix set (WithAPIPrefix)?")
)

// ErrNoBodies is a server without the object store for what is too large for a message.
var ErrNoBodies = bodies.ErrNoBucket

// ErrNoBody is a completed result whose content, an object because it is too large for a
// message, cannot be read: it is not there any more, or is not what the service put. All
// else that is known of the result is returned beside it.
var ErrNoBody = errors.New("the result's content is in the object store and cannot be read there")

// ErrNoResults is a stream of results that nobody answers for.
var ErrNoResults = errors.New("nobody answers for the stream of results: has a service run against this server, or `gemini-client provision`? With accounts, is the API prefix set (WithAPIPrefix)?")

// ErrUnknown is a request of which it is not known whether it is in the queue: NATS did
// not answer in time. To submit it again under the same id is safe: it is answered, and
// paid for, once.
var ErrUnknown = errors.New("NATS did not say in time whether it has the request: submit it again under the same id")

// FailedError is the error of a result that says that its request failed.
type FailedError struct {
	Code      events.Code
	Retryable bool // the same request can succeed later, under a new id
	Result    events.Result
}

// Error returns the code and the sentence for people.
func (e *FailedError) Error() string {
	if e.Result.Error == nil {
		return string(e.Code)
	}
	return string(e.Code) + ": " + *e.Result.Error
}

// failure returns the error of a failed result, nil for a completed one.
func failure(r events.Result) error {
	if r.Status != events.StatusError {
		return nil
	}
	e := &FailedError{Result: r}
	if r.ErrorCode != nil {
		e.Code = *r.ErrorCode
	}
	if r.Retryable != nil {
		e.Retryable = *r.Retryable
	}
	return e
}

// JetStream's error codes for a message that is not stored (nats-server, errors.json).
const (
	codeMessageTooLarge  = 10054
	codeHeadersTooLarge  = 10097
	codeStorageResources = 10047
	codeStoreFailed      = 10077
	codeNoMemory         = 10028
	codeNoStorage        = 10023
	codeAccountResources = 10002
)

// classify names the reason why a publish was refused. An error that may pass is
// returned as it is.
func classify(err error) error {
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w (%w)", ErrTooLarge, err)
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("%w (%w)", ErrNoService, err)
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err
	}
	switch api.ErrorCode { //nolint:exhaustive // the others are told as they are
	case codeMessageTooLarge, codeHeadersTooLarge:
		return fmt.Errorf("%w (%w)", ErrTooLarge, err)
	case codeStoreFailed:
		return storeFailed(api)
	case codeStorageResources, codeNoMemory, codeNoStorage, codeAccountResources:
		return fmt.Errorf("%w (%w)", ErrQueueFull, err)
	}
	return err
}

// storeFailed tells apart why the stream's store took no message (nats-server: ErrMaxBytes,
// ErrMaxMsgs, ErrMsgTooLarge); else its disk fails.
func storeFailed(err *jetstream.APIError) error {
	switch err.Description {
	case "maximum bytes exceeded", "maximum messages exceeded":
		return fmt.Errorf("%w (%w)", ErrQueueFull, err)
	case "message too large":
		return fmt.Errorf("%w (%w)", ErrTooLarge, err)
	}
	return err
}

// passes reports whether a publish that failed may be tried again: its answer was
// lost, or the connection was.
func passes(err error) bool {
	return errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrDisconnected) ||
		errors.Is(err, nats.ErrConnectionReconnecting) || errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrNoResponders)
}
