package events

import "errors"

// ErrNoID marks a body without a usable request_id: nobody can be answered, so
// the message can only be kept as a dead letter.
var ErrNoID = errors.New("request has no usable request_id")

// Failure is the reason a request ends in a failed result. It is an error, and
// errors.As finds it by value:
//
//	var failure events.Failure
//	if errors.As(err, &failure) { … }
//
//nolint:errname // The contract's word for it is failure, and callers read events.Failure.
type Failure struct {
	// Code is for machines.
	Code Code
	// Message is a sentence for people. It never holds a prompt, an answer or
	// metadata: it travels into results, logs and spans.
	Message string
}

// Error returns the code and the message.
func (f Failure) Error() string { return string(f.Code) + ": " + f.Message }
