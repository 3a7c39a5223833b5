package openrouter

import (
	"context"
	"io"
)

// roomStep is in which steps a stream asks for room: what is smaller than one is no more than the call itself takes.
const roomStep = 16 << 10

// maxValues bounds what one event or document may hold beside its texts, and minDense is from which length on that is
// looked at: a list of empty objects takes fifty times its length.
const (
	maxValues = 64 << 10
	minDense  = 64 << 10
)

// Room is asked before an answer under way takes so many bytes more: it waits until they are there. A negative number gives
// back. The error ends the call; it is ctx's.
type Room func(ctx context.Context, bytes int) error

type roomKey struct{}

// WithRoom returns a context under which [Client.Complete] asks for room for its answer. What it has asked for stays taken
// after a completion, and is given back after an error.
func WithRoom(ctx context.Context, room Room) context.Context {
	return context.WithValue(ctx, roomKey{}, room)
}

// hold makes sure of room for a line, or a document, of so many bytes beside the answer. Time limits pause meanwhile.
func (s *stream) hold(ctx context.Context, line int) error {
	defer s.lock()()
	return s.grow(ctx, line)
}

// grow is hold where the abandonment is locked.
func (s *stream) grow(ctx context.Context, line int) error {
	if s.answer.forgotten {
		if line > maxAbandonedLine {
			return errLineTooLong
		}
		return nil
	}
	s.longest = max(s.longest, line)
	missing := s.longest + s.answer.size - s.held
	if s.room == nil || missing < roomStep {
		return nil
	}
	missing += roomStep - missing%roomStep
	s.watch.pause()
	if err := s.ask(ctx, missing); err != nil {
		return err
	}
	s.watch.again()
	if !s.answer.forgotten {
		s.held += missing
	}
	return nil
}

// giveBack returns all that was asked for.
func (s *stream) giveBack(ctx context.Context) {
	if s.held > 0 {
		_ = s.room(ctx, -s.held) // giving back has no error
		s.held = 0
	}
}

// A roomReader reads a document, for which it makes sure of room: the decoder's buffer, and what is copied out of it.
type roomReader struct {
	ctx    context.Context //nolint:containedctx // it lives for one call of a function that has it
	stream *stream
	read   int
	from   io.Reader
}

func (r *roomReader) Read(to []byte) (int, error) {
	n, err := r.from.Read(to)
	r.read += n
	if held := r.stream.hold(r.ctx, 2*r.read); held != nil {
		return 0, held
	}
	return n, err
}

// dense reports whether JSON holds so many values that an object for each is too much. Their number is that of commas,
// braces and brackets outside of strings.
func dense(data []byte) bool {
	if len(data) < minDense {
		return false
	}
	values := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = endOfString(data, i)
		case ',', '{', '[':
			values++
		}
	}
	return values > maxValues
}

// endOfString returns the index of the quote that ends the string that begins at i, or the length of data.
func endOfString(data []byte, i int) int {
	for i++; i < len(data) && data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i
}
