package openrouter

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// A stream reads the body of one successful response into an answer.
type stream struct {
	client   *Client
	key      string
	watch    *watch
	response *http.Response
	onDelta  func(string)
	answer   answer

	*buffers

	room    Room // nil: nobody has to be asked
	longest int  // line or document so far
	held    int  // bytes that room was asked for

	abandonment *Abandonment // nil: it cannot be abandoned
}

// read reads the body, server-sent events or one document; nil means that the answer is complete.
func (s *stream) read(ctx context.Context) *Error {
	first, err := skipSpace(s.body)
	switch {
	case err != nil:
		return s.ended(ctx, err, false)
	case first == '{':
		return s.document(ctx)
	case first == '<':
		return s.malformed("with an HTML page")
	}
	return s.events(ctx)
}

// document reads an answer, or an error, that comes as one JSON object.
func (s *stream) document(ctx context.Context) *Error {
	limited := &io.LimitedReader{R: &roomReader{ctx: ctx, stream: s, from: s.body}, N: int64(s.client.maxAnswer) + 1}
	var raw json.RawMessage
	err := json.NewDecoder(limited).Decode(&raw)
	if _, bad := errors.AsType[*json.SyntaxError](err); bad {
		return s.malformed("with a body that is not JSON")
	}
	if err != nil && limited.N <= 0 {
		return s.tooLarge("answer", s.client.maxAnswer)
	}
	if err != nil {
		return s.ended(ctx, err, false)
	}
	s.drain()
	return s.chunk(ctx, raw)
}

// events reads server-sent events up to [DONE] or the end.
func (s *stream) events(ctx context.Context) *Error {
	events := &s.buffers.events
	events.hold = func(bytes int) error { return s.hold(ctx, bytes) }
	for {
		data, err := events.next()
		if err != nil {
			return s.ended(ctx, err, events.strange)
		}
		data = bytes.TrimSpace(data)
		if string(data) == "[DONE]" {
			s.drain()
			return nil
		}
		if len(data) == 0 {
			continue
		}
		failed := s.chunk(ctx, data)
		switch {
		case failed == nil:
		case failed.Kind != KindMalformed:
			return failed
		case events.partial:
			return s.ended(ctx, io.ErrUnexpectedEOF, false)
		case s.answer.finish == "":
			return failed
		}
	}
}

// chunk adds one chunk to the answer and rearms the time limit if it brought tokens.
func (s *stream) chunk(ctx context.Context, data []byte) *Error {
	if dense(data) {
		return &Error{Kind: KindTooLarge, Message: fmt.Sprintf("one event of the stream has more than %d values", maxValues)}
	}
	c, err := s.chunks.read(data)
	if err != nil {
		return s.malformed("with an event that is not a JSON object")
	}
	s.saw(c.Provider)
	defer s.lock()()
	progress := false
	failed := s.errorIn(c)
	if failed == nil {
		progress = s.answer.absorb(c, s.emit)
	} else {
		s.answer.usage = cmp.Or(c.usage(), s.answer.usage)
		if c.hasContent() {
			s.answer.start()
		}
	}
	switch {
	case failed != nil:
		failed.Provider = s.redact(cmp.Or(failed.Provider, c.Provider))
		failed.GenerationID = s.redact(cmp.Or(failed.GenerationID, c.ID))
		return failed
	case s.answer.tooLarge():
		return s.tooLarge("answer", s.client.maxAnswer)
	}
	if err := s.grow(ctx, 0); err != nil {
		return s.client.fault(ctx, s.key, KindCut, err)
	}
	switch {
	case s.answer.finish != "" && progress:
		s.watch.arm(errEnding, min(s.client.gap, usageTime))
	case progress:
		s.watch.arm(errGap, s.client.gap)
	}
	return nil
}

// errorIn returns the error object of a chunk or of its choice.
func (s *stream) errorIn(c *chunk) *Error {
	if failed := errorObjectError(s.key, s.response, c.Error); failed != nil {
		return failed
	}
	for _, choice := range c.Choices {
		if failed := errorObjectError(s.key, s.response, choice.Error); failed != nil {
			return failed
		}
	}
	return nil
}

// emit passes a piece to the caller; the time limit pauses meanwhile.
func (s *stream) emit(piece string) {
	if s.onDelta == nil {
		return
	}
	s.watch.pause()
	s.onDelta(piece)
}

// ended classifies the end of a body without [DONE]: once there is a finish_reason, the answer is complete.
func (s *stream) ended(ctx context.Context, err error, strange bool) *Error {
	switch {
	case s.answer.finish != "":
		return nil
	case errors.Is(err, errLineTooLong):
		return s.tooLarge("line of the stream", s.client.maxLine)
	case strange && !s.answer.started() && errors.Is(err, io.EOF):
		return s.malformed("with a body that is no stream")
	}
	return s.client.fault(ctx, s.key, KindCut, err)
}

// judge checks a complete answer: it may still be an error, or empty.
func (s *stream) judge() *Error {
	a := &s.answer
	switch {
	case a.finish == finishError:
		message := "the model ended its answer with an error"
		if a.native != "" {
			message += " (" + a.native + ")"
		}
		e := &Error{Kind: KindFinishError, Message: s.redact(message), Retryable: true}
		e.NativeFinishReason = s.redact(a.native)
		return e
	case a.empty() && a.finish != finishLength && a.finish != finishFilter:
		return &Error{Kind: KindEmpty, Message: "the answer is empty", Retryable: true}
	}
	return nil
}

// complete adds to an error what the stream has brought so far.
func (s *stream) complete(e *Error) *Error {
	e.Started, e.FirstToken = s.answer.started(), s.answer.firstToken
	e.Usage = s.answer.usage
	if e.Status == 0 && e.Kind != KindStatus {
		e.Status = s.response.StatusCode
	}
	e.Provider = cmp.Or(e.Provider, s.redact(s.answer.provider))
	e.GenerationID = cmp.Or(e.GenerationID, s.redact(s.answer.id))
	e.GenerationID = cmp.Or(e.GenerationID, s.redact(s.response.Header.Get(generationHeader)))
	return e
}

func (s *stream) malformed(what string) *Error {
	message := fmt.Sprintf("HTTP %d %s", s.response.StatusCode, what)
	return &Error{Kind: KindMalformed, Message: message, Retryable: true}
}

func (s *stream) tooLarge(what string, limit int) *Error {
	return &Error{Kind: KindTooLarge, Message: fmt.Sprintf("%s exceeds %d bytes", what, limit)}
}

func (s *stream) redact(text string) string { return redactor(s.key).line(text) }

// drain reads what may follow [DONE]. An error means only that the connection is not used again.
func (s *stream) drain() {
	s.watch.arm(errEnding, drainTime)
	_, _ = io.CopyN(io.Discard, s.body, maxDrain)
}
