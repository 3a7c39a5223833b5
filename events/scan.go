package events

import (
	"bytes"
	"fmt"
	"iter"
	"strings"
)

// This file walks JSON that checkValue has already accepted, so it does
// not check the syntax. It exists because json.Unmarshal into a struct matches
// keys in any case, silently takes the last of repeated keys, and copies: a
// check must see what the next reader sees, and a body of millions of small
// values must cost no more memory than its bytes.

// topObject returns the part of body that is its one JSON object. trailing
// reports whether something follows it. The error says why there is no object.
func topObject(body []byte) (object []byte, trailing bool, err error) {
	begin := spaces(body, 0)
	end, ok := checkValue(body, begin)
	if !ok {
		return nil, false, fmt.Errorf("the body is not JSON at offset %d of %d", end, len(body))
	}
	object = body[begin:end:end]
	if kind := kindOf(object); kind != isObject {
		return nil, false, fmt.Errorf("the body is %s, not an object", kind)
	}
	return object, spaces(body, end) < len(body), nil
}

// kind is what a JSON value is, in words for people.
type kind string

const (
	isObject kind = "an object"
	isList   kind = "a list"
	isString kind = "a string"
	isNumber kind = "a number"
	isBool   kind = "a boolean"
	isNull   kind = "null"
)

func kindOf(value []byte) kind {
	switch value[0] {
	case '{':
		return isObject
	case '[':
		return isList
	case '"':
		return isString
	case 't', 'f':
		return isBool
	case 'n':
		return isNull
	default:
		return isNumber
	}
}

// members yields the keys and values of a JSON object in their order, repeated
// keys included. A key is valid until the next one.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		var unescaped []byte
		for i := skipSpace(object, 1); object[i] != '}'; {
			end := skipValue(object, i)
			key := object[i+1 : end-1]
			if bytes.IndexByte(key, '\\') >= 0 {
				unescaped = unescape(unescaped[:0], key)
				key = unescaped
			}
			i = skipSpace(object, skipSpace(object, end)+1)
			end = skipValue(object, i)
			if !yield(key, object[i:end:end]) {
				return
			}
			i = skipComma(object, end)
		}
	}
}

// elements yields the places and values of a JSON list.
func elements(list []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		place := 0
		for i := skipSpace(list, 1); list[i] != ']'; place++ {
			end := skipValue(list, i)
			if !yield(place, list[i:end:end]) {
				return
			}
			i = skipComma(list, end)
		}
	}
}

// text decodes a JSON string. Most hold no escape, and then their bytes are
// their text. Half a surrogate pair, which JSON can spell and UTF-8 cannot,
// becomes U+FFFD.
func text(value []byte) string {
	inner := value[1 : len(value)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	return string(unescape(make([]byte, 0, len(inner)), inner))
}

// skipValue returns the index after the value that begins at i. It counts
// depth instead of recursing.
func skipValue(b []byte, i int) int {
	depth := 0
	for {
		switch b[i] {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\r', '\n':
			i++
			continue // Between values: not an end.
		default:
			i = skipScalar(b, i)
		}
		if depth == 0 {
			return i
		}
	}
}

// skipString jumps from quote to quote: the first that is preceded by an even
// number of backslashes ends the string.
func skipString(b []byte, i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(b[i:], '"')
		slash := i
		for b[slash-1] == '\\' {
			slash--
		}
		if (i-slash)%2 == 0 {
			return i + 1
		}
	}
}

func skipScalar(b []byte, i int) int {
	for i < len(b) && strings.IndexByte(",]} \t\r\n", b[i]) < 0 {
		i++
	}
	return i
}

func skipSpace(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n' {
		i++
	}
	return i
}

func skipComma(b []byte, i int) int {
	if i = skipSpace(b, i); b[i] == ',' {
		return skipSpace(b, i+1)
	}
	return i
}
