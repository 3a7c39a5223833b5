package bus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What JetStream will never store. A message that it refuses in this way is
// settled in another way.
var (
	// ErrTooLarge is a message that is larger than the server accepts, or its headers
	// are.
	ErrTooLarge = errors.New("the message is larger than the server accepts")
	// ErrRefused is a message that the server does not accept as it is.
	ErrRefused = errors.New("the server does not accept the message")
)

// Answers to a compare-and-set, and a refusal whose meaning nobody here knows.
// Every other error is worth another try.
var (
	errConflict    = errors.New("the last message of this subject is another one")
	errUncommitted = errors.New("another message of this subject is being stored")
	errUnknown     = errors.New("the server refused with a code that this service does not know")
)

// unknownTries is how often a refusal with an unknown code is met before it counts
// as ErrRefused: some 10 seconds, which outlast a change of leaders.
const unknownTries = 10

// JetStream's error codes that the service asks for (nats-server, errors.json).
// The first two are of a compare-and-set: another sequence, and a conflict with a
// message that is not committed yet.
const (
	jsErrWrongLastSequence = 10071
	jsErrUncommitted       = 10164
	jsErrMessageTooLarge   = 10054
	jsErrHeadersTooLarge   = 10097 // over 65,535 bytes, whatever max_payload is
	jsErrNoMessage         = 10037
	jsErrNoBatches         = 10174 // the stream does not allow them
	jsErrStorageResources  = 10047
	jsErrSubjectsOverlap   = 10065 // with another stream's
	jsErrStoreFailed       = 10077 // full, or a fault of the disk
)

// storeTooLarge is what jsErrStoreFailed says of a message over 32 MiB, which no
// file store takes (nats-server: ErrMsgTooLarge, rlBadThresh).
const storeTooLarge = "message too large"

// noRoomInStream is what jsErrStoreFailed says where a stream is at its max_bytes
// (nats-server: ErrMaxBytes).
const noRoomInStream = "maximum bytes exceeded"

// streamFull reports whether a stream refused a message for want of room.
func streamFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jsErrStoreFailed && api.Description == noRoomInStream
}

// never reports whether a code is another refusal that is about the message: it will
// not be stored, however often it is sent.
func never(code jetstream.ErrorCode) bool {
	switch code { //nolint:exhaustive // the others are none of them
	case 10003: // bad request
	case 10060, 10070, 10193: // another stream or message id was expected; a comparison without a sequence
	case 10165: // the TTL is invalid
	case 10168, 10170, 10171: // headers of a counter
	case 10174, 10175, 10176, 10177, 10179: // headers of an atomic batch
	case 10189, 10190, 10191, 10192, 10203, 10212, 10223: // headers of a schedule
	case 10205, 10206, 10207: // headers of a fast batch
	case 10227: // a header that only a source may have
	default:
		return false
	}
	return true
}

// later reports whether a code is a refusal that is about the server, the account or
// the stream. They end by themselves or when a person mends it; until then it is an
// outage, which costs delay and no event. Among them is a stream that was set up
// wrongly: if its messages were given up, each request would be paid for and none
// answered.
func later(code jetstream.ErrorCode) bool {
	switch code { //nolint:exhaustive // the others are none of them
	case 10002, 10023, 10028, jsErrStorageResources, 10120, 10122: // no room on the server or in the account
	case jsErrStoreFailed: // the stream is full, or its disk fails
	case 10004, 10005, 10006, 10007, 10008, 10009, 10010, 10036, 10041, 10075: // the cluster is not ready
	case 10035, 10039, 10076: // JetStream is off
	case 10051, 10059, 10096, 10118, 10194: // the stream is away
	case 10063, 10158, 10163: // another write is in the way
	case 10167, 10210, 10211: // too many requests at once
	case 10109, 10111, 10166, 10188: // the stream is sealed, or has no rollups, TTLs or schedules
	case 10124, 10129, 10202, 10226: // the stream is being moved
	case jsErrNoMessage: // of a read
	default:
		return false
	}
	return true
}

// classify is the one place that knows what JetStream's refusals mean. Errors:
// ErrTooLarge, ErrRefused, errConflict, errUncommitted, errUnknown, each beside
// its cause; any other error as it is.
func classify(err error) error {
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return errors.Join(ErrTooLarge, err)
	case errors.Is(err, nats.ErrBadHeaderMsg), errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrInvalidMsg): // the client's own
		return errors.Join(ErrRefused, err)
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err
	}
	switch code := api.ErrorCode; {
	case code == jsErrWrongLastSequence:
		return errors.Join(errConflict, err)
	case code == jsErrUncommitted:
		return errors.Join(errUncommitted, err)
	case code == jsErrMessageTooLarge, code == jsErrHeadersTooLarge, code == jsErrStoreFailed && api.Description == storeTooLarge:
		return errors.Join(ErrTooLarge, err)
	case never(code):
		return errors.Join(ErrRefused, err)
	case !later(code):
		return errors.Join(errUnknown, err)
	}
	return err
}

// Refused reports whether what was to be stored will never be, so that the
// delivery has to be settled in another way.
func Refused(err error) bool { return errors.Is(err, ErrTooLarge) || errors.Is(err, ErrRefused) }

// decided reports whether trying again would not change the outcome.
func decided(err error) bool { return errors.Is(err, errConflict) || Refused(err) }

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
