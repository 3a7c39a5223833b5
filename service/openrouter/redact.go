package openrouter

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"unicode"
)

// maxMessage is the length of a message in characters.
const maxMessage = 500

var (
	keyPattern      = regexp.MustCompile(`(?i)sk-or-[\w.*…-]*`)
	userinfoPattern = regexp.MustCompile(`://[^/\s@]*@`)
)

// A redactor removes secrets from texts that come from outside. Its value is the call's key.
type redactor string

// line returns a text as one line without keys, passwords in URLs or control characters, cut to maxMessage.
func (r redactor) line(text string) string {
	if text == "" {
		return ""
	}
	text = r.scrub(text)
	text = strings.Map(func(c rune) rune {
		if unicode.IsSpace(c) || unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "�"))
	return shorten(strings.Join(strings.Fields(text), " "), maxMessage)
}

// shorten cuts a text to so many characters.
func shorten(text string, characters int) string {
	if len(text) <= characters {
		return text
	}
	if chars := []rune(text); len(chars) > characters {
		return string(chars[:characters-1]) + "…"
	}
	return text
}

func (r redactor) scrub(text string) string {
	if r != "" {
		text = strings.ReplaceAll(text, string(r), "[key]")
	}
	text = keyPattern.ReplaceAllString(text, "[key]")
	return userinfoPattern.ReplaceAllString(text, "://[redacted]@")
}

// cause returns an error that errors.Is and errors.As treat as err, with a redacted text.
func (r redactor) cause(err error) error {
	return &redactedError{text: r.line(err.Error()), err: err}
}

// A redactedError has no Unwrap, which would give access to the text. It never matches a context error: a dial timeout matches
// context.DeadlineExceeded, though the call's deadline may be far away.
type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string { return e.text }

func (e *redactedError) Is(target error) bool {
	if target == context.Canceled || target == context.DeadlineExceeded {
		return false
	}
	return errors.Is(e.err, target)
}

func (e *redactedError) As(target any) bool { return errors.As(e.err, target) }
