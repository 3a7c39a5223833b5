package openrouter

import (
	"io"
	"unicode/utf8"
)

// An escaper reads a text as the inner part of a JSON string.
type escaper struct {
	rest    string
	escaped []byte // of rest's beginning, not yet read
	buffer  [512]byte
}

// Read never fails but at the end.
func (e *escaper) Read(to []byte) (n int, err error) {
	for n < len(to) {
		if len(e.escaped) == 0 {
			if e.rest == "" {
				break
			}
			e.fill()
		}
		copied := copy(to[n:], e.escaped)
		e.escaped = e.escaped[copied:]
		n += copied
	}
	if n == 0 && len(to) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// longestEscape is that of a control character: \u0001.
const longestEscape = 6

func (e *escaper) fill() {
	e.escaped = e.buffer[:0]
	for e.rest != "" && len(e.escaped)+longestEscape < len(e.buffer) {
		room := len(e.buffer) - longestEscape - len(e.escaped)
		if n := plain(e.rest[:min(len(e.rest), room)]); n > 0 {
			e.escaped = append(e.escaped, e.rest[:n]...)
			e.rest = e.rest[n:]
			continue
		}
		char, width := utf8.DecodeRuneInString(e.rest)
		e.escaped = appendEscaped(e.escaped, char)
		e.rest = e.rest[width:]
	}
}

// appendText is what an escaper reads of a text.
func appendText(to []byte, s string) []byte {
	for s != "" {
		n := plain(s)
		to = append(to, s[:n]...)
		if s = s[n:]; s != "" {
			char, width := utf8.DecodeRuneInString(s)
			to = appendEscaped(to, char)
			s = s[width:]
		}
	}
	return to
}

func escapedLen(s string) (length int64) {
	var one [longestEscape]byte
	for s != "" {
		n := plain(s)
		length += int64(n)
		if s = s[n:]; s != "" {
			char, width := utf8.DecodeRuneInString(s)
			length += int64(len(appendEscaped(one[:0], char)))
			s = s[width:]
		}
	}
	return length
}

// plain returns how many bytes at the beginning of a text stand for themselves.
func plain(s string) int {
	for i := 0; i < len(s); {
		switch char := s[i]; {
		case char >= utf8.RuneSelf:
			char, width := utf8.DecodeRuneInString(s[i:])
			if char == utf8.RuneError && width == 1 {
				return i
			}
			i += width
		case char < ' ', char == '"', char == '\\':
			return i
		default:
			i++
		}
	}
	return len(s)
}

// appendEscaped escapes only what has to be, in its shortest form: a text never
// becomes longer than in the JSON that it came from. What is not UTF-8 becomes
// U+FFFD.
func appendEscaped(to []byte, char rune) []byte {
	const digits = "0123456789abcdef"
	switch {
	case char == '"', char == '\\':
		return append(to, '\\', byte(char))
	case char >= ' ':
		return utf8.AppendRune(to, char)
	case char == '\n':
		return append(to, `\n`...)
	case char == '\r':
		return append(to, `\r`...)
	case char == '\t':
		return append(to, `\t`...)
	case char == '\b':
		return append(to, `\b`...)
	case char == '\f':
		return append(to, `\f`...)
	}
	return append(to, '\\', 'u', '0', '0', digits[char>>4], digits[char&0xF])
}
