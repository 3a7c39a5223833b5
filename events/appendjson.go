package events

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// What is written for every request is appended by hand: encoding/json reads the
// types anew and boxes each field. The text is byte for byte what encoding/json writes
// without its escapes for HTML.

// field appends the name of a member and its colon, behind a comma unless the member
// is the first of its object.
func field(to []byte, name string) []byte {
	if to[len(to)-1] != '{' {
		to = append(to, ',')
	}
	to = append(to, '"')
	to = append(to, name...)
	return append(to, '"', ':')
}

// appendText appends a string, null for nil.
func appendText(to []byte, s *string) []byte {
	if s == nil {
		return append(to, "null"...)
	}
	return appendString(to, *s)
}

func appendInt(to []byte, n *int) []byte {
	if n == nil {
		return append(to, "null"...)
	}
	return strconv.AppendInt(to, int64(*n), 10)
}

// appendFloat appends a number, null for nil. ok is false if JSON has none such.
func appendFloat(to []byte, n *float64) (_ []byte, ok bool) {
	if n == nil {
		return append(to, "null"...), true
	}
	size := math.Abs(*n)
	if math.IsNaN(*n) || math.IsInf(*n, 0) {
		return to, false
	}
	if size == 0 || size >= 1e-6 && size < 1e21 {
		return strconv.AppendFloat(to, *n, 'f', -1, 64), true
	}
	to = strconv.AppendFloat(to, *n, 'e', -1, 64)
	if last := len(to) - 1; to[last-1] == '0' && to[last-2] == '-' { // e-09 is written e-9
		to[last-1] = to[last]
		to = to[:last]
	}
	return to, true
}

// appendString appends a string in quotes. What is not UTF-8 becomes U+FFFD.
func appendString(to []byte, s string) []byte {
	to = append(to, '"')
	begin := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			to = appendEscape(append(to, s[begin:i]...), c)
			i++
			begin = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			to = append(append(to, s[begin:i]...), `\ufffd`...)
			begin = i + 1
		case r == '\u2028' || r == '\u2029': // ends a line in old JavaScript
			to = append(append(to, s[begin:i]...), `\u202`...)
			to = append(to, byte('0'+r&0xf))
			begin = i + size
		}
		i += size
	}
	return append(append(to, s[begin:]...), '"')
}

func appendEscape(to []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(to, '\\', c)
	case '\b':
		return append(to, `\b`...)
	case '\f':
		return append(to, `\f`...)
	case '\n':
		return append(to, `\n`...)
	case '\r':
		return append(to, `\r`...)
	case '\t':
		return append(to, `\t`...)
	}
	const digits = "0123456789abcdef"
	return append(to, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xf])
}
