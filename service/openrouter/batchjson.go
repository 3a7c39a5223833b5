package openrouter

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

var errNoJSON = errors.New("not JSON")

// maxName is more than any name of a field; a longer one is nobody's.
const maxName = 256

// A valueReader takes a JSON document apart while it arrives, so that no more than one value is held. It looks for where
// values end; whether a value is JSON is left to whoever decodes it.
type valueReader struct {
	r     *bufio.Reader
	kept  []byte
	limit int
	cut   bool // the value was longer than limit
}

// object calls field with each name in turn; field reads the value.
func (v *valueReader) object(field func(name string) error) error {
	return v.list('{', '}', func() error {
		if next, err := skipSpace(v.r); err != nil || next != '"' {
			return orNoJSON(err)
		}
		var name string
		raw, err := v.value(maxName)
		if err == nil && !v.cut {
			err = json.Unmarshal(raw, &name)
		}
		if err != nil {
			return err
		}
		if err := v.expect(':'); err != nil {
			return err
		}
		return field(name)
	})
}

// array calls item at the beginning of each; item reads the value.
func (v *valueReader) array(item func() error) error { return v.list('[', ']', item) }

// arrayOrNull takes whatever else stands in the place of an array for an empty one.
func (v *valueReader) arrayOrNull(item func() error) error {
	next, err := skipSpace(v.r)
	if err == nil && next != '[' {
		_, err = v.value(0)
		return err
	}
	return v.array(item)
}

func (v *valueReader) list(begin, end byte, item func() error) error {
	if err := v.expect(begin); err != nil {
		return err
	}
	for first := true; ; first = false {
		next, err := skipSpace(v.r)
		if err == nil && next == end {
			return v.expect(end)
		}
		if err == nil && !first {
			err = v.expect(',')
		}
		if err == nil {
			err = item()
		}
		if err != nil {
			return err
		}
	}
}

func (v *valueReader) expect(want byte) error {
	next, err := skipSpace(v.r)
	if err != nil {
		return err
	}
	if next != want {
		return errNoJSON
	}
	_, err = v.r.Discard(1)
	return err
}

func orNoJSON(err error) error {
	if err == nil {
		return errNoJSON
	}
	return err
}

// value reads a value and returns at most limit bytes of it, valid until the next call; v.cut says whether that is not all.
func (v *valueReader) value(limit int) ([]byte, error) {
	v.kept, v.limit, v.cut = v.kept[:0], limit, false
	next, err := skipSpace(v.r)
	switch {
	case err != nil:
	case next == '"', next == '{', next == '[':
		err = v.nested()
	default:
		err = v.scalar()
	}
	return v.kept, err
}

func (v *valueReader) keep(c byte) {
	if len(v.kept) < v.limit {
		v.kept = append(v.kept, c)
	} else {
		v.cut = true
	}
}

// nested reads a string, an object or an array up to the byte that closes it.
func (v *valueReader) nested() error {
	quoted, depth := false, 0
	for {
		c, err := v.r.ReadByte()
		if err != nil {
			return err
		}
		v.keep(c)
		switch {
		case quoted && c == '\\':
			if c, err = v.r.ReadByte(); err != nil {
				return err
			}
			v.keep(c)
			continue
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			depth--
		}
		if depth == 0 && !quoted {
			return nil
		}
	}
}

// scalar reads a number or a word.
func (v *valueReader) scalar() error {
	for begun := false; ; begun = true {
		next, err := v.r.Peek(1)
		switch {
		case errors.Is(err, io.EOF) && begun:
			return nil
		case err != nil:
			return err
		case strings.IndexByte(",}]: \t\r\n", next[0]) < 0:
		case begun:
			return nil
		default:
			return errNoJSON
		}
		v.keep(next[0])
		if _, err := v.r.Discard(1); err != nil {
			return err
		}
	}
}
