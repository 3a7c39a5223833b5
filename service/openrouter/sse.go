package openrouter

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// errLineTooLong means that a line or an event exceeds MaxLineBytes.
var errLineTooLong = errors.New("line too long")

// An eventReader reads the data of server-sent events from a stream. Its memory is limited by max.
type eventReader struct {
	r    *bufio.Reader
	max  int
	hold func(bytes int) error // is called before a line or an event grows; nil for none
	line []byte                // of a line longer than r's buffer
	data []byte                // of the event
	told int                   // to hold: the most so far, up to roomStep

	partial bool // the last event was ended by the end of the stream, not by a blank line
	strange bool // a line was seen that is no server-sent event
}

// next returns the data of the next event that has any; it is valid until the following call. Comments and other fields are
// skipped. The error is io.EOF, errLineTooLong, or the stream's own.
func (e *eventReader) next() ([]byte, error) {
	e.data = e.data[:0]
	for {
		line, err := e.readLine()
		switch {
		case errors.Is(err, io.EOF) && len(e.data) > 0:
			e.partial = true
			return e.data, nil
		case err != nil:
			return nil, err
		case len(line) > 0:
			e.field(line)
		case len(e.data) > 0:
			return e.data, nil
		}
		if len(e.data) > e.max {
			return nil, errLineTooLong
		}
		if err := e.grown(0); err != nil {
			return nil, err
		}
	}
}

// field reads one line that is not blank. A line of bare JSON counts as data: an error body may follow a stream already begun.
func (e *eventReader) field(line []byte) {
	if line[0] == '{' {
		e.append(line)
		return
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch string(name) {
	case "data":
		e.append(bytes.TrimPrefix(value, []byte(" ")))
	case "", "event", "id", "retry": // without a name it is a comment
	default:
		e.strange = true
	}
}

func (e *eventReader) append(value []byte) {
	if len(e.data) > 0 {
		e.data = append(e.data, '\n')
	}
	e.data = append(e.data, value...)
}

// readLine returns a line without its end (LF or CR LF), valid until the next call. The last line need not have one.
func (e *eventReader) readLine() ([]byte, error) {
	e.line = e.line[:0]
	for {
		part, err := e.r.ReadSlice('\n')
		if len(e.line)+len(part) > e.max {
			return nil, errLineTooLong
		}
		if err == nil && len(e.line) == 0 {
			return trimEnd(part), nil
		}
		if err := e.grown(len(part)); err != nil {
			return nil, err
		}
		e.line = append(e.line, part...)
		switch {
		case err == nil, errors.Is(err, io.EOF) && len(e.line) > 0:
			return trimEnd(e.line), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// grown is called where a line or an event takes so many bytes more.
func (e *eventReader) grown(bytes int) error {
	total := len(e.line) + len(e.data) + bytes
	if e.hold == nil || total <= e.told {
		return nil
	}
	e.told = min(total, roomStep)
	return e.hold(total)
}

func trimEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

// skipSpace discards white space and a byte order mark and returns the byte after them, which stays unread.
func skipSpace(r *bufio.Reader) (byte, error) {
	for {
		next, err := r.Peek(1)
		if err != nil {
			return 0, err
		}
		skip := 1
		switch next[0] {
		case ' ', '\t', '\r', '\n':
		case 0xEF:
			if mark, _ := r.Peek(3); string(mark) != "\xEF\xBB\xBF" {
				return next[0], nil
			}
			skip = 3
		default:
			return next[0], nil
		}
		if _, err := r.Discard(skip); err != nil {
			return 0, err
		}
	}
}
