package telemetry

import (
	"bytes"
	"io"
	"regexp"
	"strings"
)

// keyPrefix begins every OpenRouter key.
const keyPrefix = "sk-or-"

// shownFrom is how long the secret part must be before its end is shown.
const shownFrom = 12

var keyPattern = regexp.MustCompile(keyPrefix + `[A-Za-z0-9_-]+`)

// Redact masks everything in s that looks like an OpenRouter key, so that only
// its last four characters remain: "sk-or-…abcd". Of a short one nothing
// remains. Redacting twice changes nothing more.
//
// It is the second line of defence; the first is not to log keys.
func Redact(s string) string {
	if !strings.Contains(s, keyPrefix) {
		return s
	}
	return keyPattern.ReplaceAllStringFunc(s, func(key string) string {
		secret := key[len(keyPrefix):]
		if len(secret) < shownFrom {
			return keyPrefix + "…"
		}
		return keyPrefix + "…" + secret[len(secret)-4:]
	})
}

// redactingWriter redacts finished log lines. Working on the line and not on
// the record, it also reaches into structs, errors and attribute keys. Each
// Write must be one whole line, which is how slog's handlers write.
type redactingWriter struct {
	next io.Writer
}

func (w redactingWriter) Write(line []byte) (int, error) {
	if !bytes.Contains(line, []byte(keyPrefix)) {
		return w.next.Write(line)
	}
	if _, err := io.WriteString(w.next, Redact(string(line))); err != nil {
		return 0, err
	}
	return len(line), nil
}
