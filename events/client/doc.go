// Package client is for backends: it publishes requests to gemini-client and reads
// their results. It speaks the contract of events/README.md and nothing else, so a
// backend that is written without it gets the same.
//
//	nc, err := nats.Connect(url)
//	c, err := client.New(nc)
//	h, err := c.Submit(ctx, events.Request{Prompt: "Why is the sky blue?"})
//	result, err := h.Result(ctx)
//
// A request is in the queue when [Client.Submit] returns: its publish was acknowledged
// by JetStream. From then on it ends in one result, which is stored for a week by
// default. [Handle.Result] waits for it, and [Client.Open] finds it again after a restart
// of the backend, by its id. A result is read from its stream, so that none is missed and
// none is seen that was not stored.
//
// A failed result is an error:
//
//	var failed *client.FailedError
//	if errors.As(err, &failed) && failed.Retryable { … }
//
// # Large bodies
//
// A prompt, or messages, too large for a message is put into the service's NATS object
// store first, and an answer that is too large is read there: Submit and whatever
// returns results do so, and all others cost nothing more. An answer that is not there
// any more is [ErrNoBody].
//
// # Connections
//
// The connection is the caller's, who closes it. With accounts as in
// deploy/nats/nats.conf it needs [nats.CustomInboxPrefix] ("_INBOX_backend") and the client
// [WithAPIPrefix] ("gemini.js"). New takes the connection's error handler in
// between, to learn of what the user may not do, and passes every error on to the one
// that was set.
//
// # Traces
//
// Submit opens a PRODUCER span and sends the trace context of ctx along; the service's
// spans and the result belong to that trace. Without OpenTelemetry's SDK both do nothing.
package client
