package jsonscan

import (
	"bytes"
	"iter"
)

// Kind is what a JSON value is, in words for people.
type Kind string

// The kinds of values.
const (
	Object Kind = "an object"
	List   Kind = "a list"
	String Kind = "a string"
	Number Kind = "a number"
	Bool   Kind = "a boolean"
	Null   Kind = "null"
)

// KindOf tells what a value is by its first byte.
func KindOf(value []byte) Kind {
	switch value[0] {
	case '{':
		return Object
	case '[':
		return List
	case '"':
		return String
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	default:
		return Number
	}
}

// Members yields the keys and values of an object in their order, repeated keys included, and nothing of another value. A key is valid until
// the next one.
func Members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		var unescaped []byte
		for i := inside(object, '{'); i < len(object) && object[i] == '"'; {
			end := SkipString(object, i)
			colon := Spaces(object, end)
			if colon == len(object) {
				return
			}
			key := object[i+1 : end-1]
			if bytes.IndexByte(key, '\\') >= 0 {
				unescaped = unescape(unescaped[:0], key)
				key = unescaped
			}
			i = Spaces(object, colon+1)
			end = SkipValue(object, i)
			if end == i || !yield(key, object[i:end:end]) {
				return
			}
			i = next(object, end)
		}
	}
}

// Elements yields the places and values of a list in their order, and nothing of another value.
func Elements(list []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		place := 0
		for begin, end := range Spans(list) {
			if !yield(place, list[begin:end:end]) {
				return
			}
			place++
		}
	}
}

// Spans yields where each value of a list begins and ends.
func Spans(list []byte) iter.Seq2[int, int] {
	return func(yield func(begin, end int) bool) {
		for i := inside(list, '['); i < len(list) && list[i] != ']'; {
			end := SkipValue(list, i)
			if !yield(i, end) {
				return
			}
			i = next(list, end)
		}
	}
}

// inside returns where the first member or element of a value begins, the length of a value that does not begin with the bracket.
func inside(value []byte, bracket byte) int {
	if i := Spaces(value, 0); i < len(value) && value[i] == bracket {
		return Spaces(value, i+1)
	}
	return len(value)
}

// next returns where the value after a comma begins, or where the bracket stands.
func next(b []byte, i int) int {
	if i = Spaces(b, i); i < len(b) && b[i] == ',' {
		return Spaces(b, i+1)
	}
	return i
}

// Spaces returns the index of the first byte from i on that is no space.
func Spaces(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// SkipValue returns the index after the value that begins at i. It counts depth instead of recursing.
func SkipValue(b []byte, i int) int {
	for depth := 0; i < len(b); {
		switch b[i] {
		case '"':
			i = SkipString(b, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\r', '\n':
			i++
			continue // between values: not an end
		default:
			i = skipScalar(b, i)
		}
		if depth <= 0 {
			return i
		}
	}
	return i
}

// SkipString returns the index after the string that begins at i. It jumps from quote to quote: the first that is preceded by an even number of
// backslashes ends the string.
func SkipString(b []byte, i int) int {
	begin := i + 1
	for i++; ; i++ {
		quote := bytes.IndexByte(b[i:], '"')
		if quote < 0 {
			return len(b)
		}
		i += quote
		slash := i
		for slash > begin && b[slash-1] == '\\' {
			slash--
		}
		if (i-slash)%2 == 0 {
			return i + 1
		}
	}
}

// skipScalar returns the index after a number, true, false or null.
func skipScalar(b []byte, i int) int {
	for i < len(b) {
		switch b[i] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return i
		}
		i++
	}
	return i
}
