package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// This file walks JSON that json.Valid has already accepted, so it does
// not check the syntax. It exists because json.Unmarshal into a struct matches
// keys in any case, silently takes the last of repeated keys, and copies: a
// check must see what the next reader sees.

// topObject returns the part of body that is its one JSON object. trailing
// reports whether something follows it. The error says why there is no object.
func topObject(body []byte) (object []byte, trailing bool, err error) {
	if !json.Valid(body) {
		if body, err = firstValue(body); err != nil {
			return nil, false, err
		}
		trailing = true
	}
	object = bytes.Trim(body, " \t\r\n")
	if kind := kindOf(object); kind != isObject {
		return nil, false, fmt.Errorf("the body is %s, not an object", kind)
	}
	return object, trailing, nil
}

// firstValue returns the JSON value body begins with, whatever follows it.
func firstValue(body []byte) ([]byte, error) {
	var first json.RawMessage
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(&first); err != nil {
		place := int64(len(body)) // A truncated body is wrong at its end.
		if wrong, ok := errors.AsType[*json.SyntaxError](err); ok {
			place = wrong.Offset - 1 // The offset counts the wrong byte itself.
		}
		return nil, fmt.Errorf("the body is not JSON at offset %d of %d", place, len(body))
	}
	return body[:decoder.InputOffset()], nil
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
// keys included.
func members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for i := skipSpace(object, 1); object[i] != '}'; {
			end := skipValue(object, i)
			key := text(object[i:end])
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
	var decoded string
	if err := json.Unmarshal(value, &decoded); err != nil {
		// Only a value that json.Valid refuses fails here.
		return ""
	}
	return decoded
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
