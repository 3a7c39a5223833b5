package upstream

import (
	"strings"

	"gemini-client/events"
)

// A common piece of an error text and a prompt counts as a quotation from echo
// bytes on; a shorter text of the request only as a whole, from echoWhole on.
const (
	echo      = 24
	echoWhole = 6
)

// withoutEcho cuts an error text where it begins to quote the request's own
// words: providers do that, and texts go to logs and spans, where no prompt
// may be.
func withoutEcho(message string, request *events.Request) string {
	cut := len(message)
	windows := map[string]int{} // the message's pieces, each with its first place
	for at := len(message) - echo; at >= 0; at-- {
		windows[message[at:at+echo]] = at
	}
	for source := range request.Texts() {
		source = oneSpaced(source) // as error texts have it
		if len(source) < echo {
			if at := strings.Index(message, source); at >= 0 && len(source) >= echoWhole {
				cut = min(cut, at)
			}
			continue
		}
		for i := 0; i+echo <= len(source); i++ {
			if at, ok := windows[source[i:i+echo]]; ok {
				cut = min(cut, at)
			}
		}
	}
	if cut == len(message) {
		return message
	}
	return strings.ToValidUTF8(message[:cut], "") + "… (the rest quotes the request)"
}

// oneSpaced returns the words of a text with one space between them. It makes no
// list of them: a text of millions of words is no more than its bytes.
func oneSpaced(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for word := range strings.FieldsSeq(text) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(word)
	}
	return b.String()
}
