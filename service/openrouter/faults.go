package openrouter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// refuse returns the error of a call that is not made.
func refuse(key, reason string) *Error {
	return &Error{Kind: KindRequest, Message: redactor(key).line(reason)}
}

// fault classifies an error of the network: the caller's context ended, a time limit was exceeded, or else the given kind.
func (c *Client) fault(ctx context.Context, key string, kind Kind, err error) *Error {
	cause := context.Cause(ctx)
	limit, limited := errors.AsType[limitError](cause)
	deadline, hasDeadline := ctx.Deadline()
	switch {
	case limited && limit == errFirstToken:
		return &Error{Kind: KindFirstToken, Message: fmt.Sprintf("nothing of an answer within %v", c.firstToken), Retryable: true}
	case limited && limit == errGap:
		return &Error{Kind: KindGap, Message: fmt.Sprintf("no token for %v", c.gap), Retryable: true}
	case limited && limit == errWhole:
		return &Error{Kind: KindUnfinished, Message: fmt.Sprintf("the answer was not complete within %v", c.call), Retryable: true}
	case errors.Is(ctx.Err(), context.Canceled) && !limited:
		return &Error{Kind: KindCancelled, Message: "the call was cancelled", cause: errors.Join(context.Canceled, cause)}
	case ctx.Err() != nil && !limited, hasDeadline && !time.Now().Before(deadline): // a dialler may notice before the context
		return &Error{Kind: KindCallTimeout, Message: "the call's time is over", cause: errors.Join(context.DeadlineExceeded, cause)}
	}
	red := redactor(key)
	return &Error{Kind: kind, Message: red.line(faultText(kind, err)), Retryable: true, cause: red.cause(err)}
}

func faultText(kind Kind, err error) string {
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case kind != KindCut && ended:
		return "the connection was closed without a response"
	case kind != KindCut:
		return err.Error()
	case ended:
		return "the response ended before the answer did"
	}
	return "the response broke off: " + err.Error()
}
