package upstream

import (
	"encoding/json"
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
func withoutEcho(message string, request events.Request) string {
	cut := len(message)
	windows := map[string]int{} // the message's pieces, each with its first place
	for at := len(message) - echo; at >= 0; at-- {
		windows[message[at:at+echo]] = at
	}
	for _, source := range words(request) {
		source = strings.Join(strings.Fields(source), " ") // as error texts have it
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

// words are the request's texts: of its message list, the list itself and every
// text in it as it reads, without the escapes of JSON.
func words(request events.Request) []string {
	list := []string{request.Prompt, request.SystemInstruction, string(request.Messages)}
	var messages []struct {
		Content any `json:"content"`
	}
	_ = json.Unmarshal(request.Messages, &messages) // what cannot be read is still looked for as it is
	for _, message := range messages {
		list = texts(list, message.Content)
	}
	return list
}

// texts adds the texts of a message's content: it is one, or a list of parts.
func texts(list []string, content any) []string {
	switch content := content.(type) {
	case string:
		return append(list, content)
	case []any:
		for _, part := range content {
			list = texts(list, part)
		}
	case map[string]any:
		return texts(list, content["text"])
	}
	return list
}
