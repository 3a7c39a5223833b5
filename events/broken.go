package events

import (
	"fmt"
	"strconv"
	"strings"

	"gemini-client/events/jsonscan"
)

// maxBroken bounds a failure's text: lists can break a rule in every entry.
const maxBroken = 32

// maxQuoted is how much of a wrong value a failure's text shows.
const maxQuoted = 40

// broken collects the broken rules of one request.
type broken struct {
	texts []string
	more  int
}

// add records a broken rule of the field at path: what is wrong and how to fix it.
func (b *broken) add(path, format string, args ...any) {
	if len(b.texts) == maxBroken {
		b.more++
		return
	}
	b.texts = append(b.texts, path+": "+fmt.Sprintf(format, args...))
}

// String is the text of the failure.
func (b *broken) String() string {
	text := strings.Join(b.texts, " | ")
	if b.more > 0 {
		text += fmt.Sprintf(" | and %d more", b.more)
	}
	return text
}

// quote returns s in quotes, cut to maxQuoted characters.
func quote(s string) string {
	count := 0
	for i := range s {
		if count == maxQuoted {
			return strconv.Quote(s[:i]) + "…"
		}
		count++
	}
	return strconv.Quote(s)
}

// show describes a wrong value. It shows no content of lists and objects.
func show(value []byte) string {
	switch kind := jsonscan.KindOf(value); kind {
	case jsonscan.String:
		return "the string " + quote(jsonscan.Text(value))
	case jsonscan.Number:
		return strings.Trim(quote(string(value)), `"`)
	case jsonscan.Bool:
		return string(value)
	case jsonscan.Object, jsonscan.List, jsonscan.Null:
		return string(kind)
	}
	return ""
}

// quoteAll lists the allowed values of a setting.
func quoteAll(values []string) string {
	const shown = 8
	var texts []string
	for i, value := range values {
		if i == shown {
			texts = append(texts, "…")
			break
		}
		texts = append(texts, quote(value))
	}
	if texts == nil {
		return "(none)"
	}
	return strings.Join(texts, ", ")
}
