package openrouter

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"gemini-client/events/jsonscan"
)

// A scanner reads JSON whose fields and types are known, and builds nothing of it. It gives what encoding/json gives, or gives up: at a type that
// is not expected, a key in capitals, one that comes twice, text that is not UTF-8, and anything that is no JSON. Then encoding/json has to look.
type scanner struct {
	data []byte
	at   int
	text []byte // of strings with escapes
}

// field is a bit for each field of an object that is read; 0 is any other.
type field uint32

// object reads an object: read is given each key, and reads its value.
func (s *scanner) object(read func(key []byte) (field, bool)) bool {
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	var seen field
	for {
		key, ok := s.key()
		if !ok {
			return false
		}
		one, ok := read(key)
		if !ok || seen&one != 0 {
			return false
		}
		if seen |= one; s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// list reads a list, or null: read reads each of its values.
func (s *scanner) list(read func() bool) bool {
	if s.null() {
		return true
	}
	if !s.take('[') {
		return false
	}
	if s.take(']') {
		return true
	}
	for read() {
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
	return false
}

// key reads a key and its colon. encoding/json matches keys in any case, and capitals are not all in ASCII.
func (s *scanner) key() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	for i, char := range s.data[s.at:] {
		switch {
		case 'a' <= char && char <= 'z', char == '_', '0' <= char && char <= '9':
		case char == '"':
			key := s.data[s.at : s.at+i]
			s.at += i + 1
			return key, s.take(':')
		default:
			return nil, false
		}
	}
	return nil, false
}

// take skips a byte, if it is the next but for spaces.
func (s *scanner) take(char byte) bool {
	if s.space(); s.at == len(s.data) || s.data[s.at] != char {
		return false
	}
	s.at++
	return true
}

func (s *scanner) space() { s.at = jsonscan.Spaces(s.data, s.at) }

// null skips a null, if that is next.
func (s *scanner) null() bool {
	const null = "null"
	if s.space(); len(s.data)-s.at < len(null) || string(s.data[s.at:s.at+len(null)]) != null {
		return false
	}
	s.at += len(null)
	return true
}

// skip reads any value.
func (s *scanner) skip() bool {
	s.space()
	end, ok := jsonscan.Check(s.data, s.at)
	short := end-s.at <= jsonscan.Depth
	s.at = end
	return ok && short // what is nested more deeply is not read by encoding/json
}

// raw reads any value as it lies.
func (s *scanner) raw(to *json.RawMessage) bool {
	s.space()
	begin := s.at
	ok := s.skip()
	*to = s.data[begin:s.at]
	return ok
}

// string reads a string, or null, which is empty. It is valid as long as the data, and until the scanner begins anew.
func (s *scanner) string(to *view) bool {
	if *to = nil; s.null() {
		return true
	}
	if !s.take('"') {
		return false
	}
	ascii := true
	for i, char := range s.data[s.at:] {
		switch {
		case char == '"':
			*to = s.data[s.at : s.at+i]
			s.at += i + 1
			return ascii || utf8.Valid(*to)
		case char == '\\':
			s.at--
			return s.escaped(to)
		case char < ' ':
			return false
		case char >= utf8.RuneSelf:
			ascii = false
		}
	}
	return false
}

func (s *scanner) escaped(to *view) bool {
	end, ok := jsonscan.Check(s.data, s.at)
	if !ok || !utf8.Valid(s.data[s.at:end]) {
		return false
	}
	begin := len(s.text)
	s.text = jsonscan.AppendText(s.text, s.data[s.at:end])
	*to, s.at = s.text[begin:], end
	return true
}

// name reads a string that is mostly the same as the last time.
func (s *scanner) name(to, last *string) bool {
	var name view
	ok := s.string(&name)
	if string(name) != *last {
		*last = string(name)
	}
	*to = *last
	return ok
}

// count reads a whole number that is not negative; null leaves what there is.
func (s *scanner) count(to *int64) bool {
	const digits = 18 // that surely fit
	if s.null() {
		return true
	}
	begin, n := s.at, int64(0)
	for ; s.at < len(s.data) && '0' <= s.data[s.at] && s.data[s.at] <= '9' && s.at-begin < digits; s.at++ {
		n = n*10 + int64(s.data[s.at]-'0')
	}
	*to = n
	text := s.data[begin:s.at]
	return len(text) == 1 || len(text) > 1 && text[0] != '0' // after a fraction there is no comma
}

// countOrNil is count where null is nil.
func (s *scanner) countOrNil(to **int64) bool {
	if *to = nil; s.null() {
		return true
	}
	*to = new(int64)
	return s.count(*to)
}

// number reads a number; null is nil.
func (s *scanner) number(to **float64) bool {
	if *to = nil; s.null() {
		return true
	}
	var text json.RawMessage
	if !s.raw(&text) || jsonscan.KindOf(text) != jsonscan.Number {
		return false
	}
	value, err := strconv.ParseFloat(string(text), 64)
	*to = &value
	return err == nil
}
