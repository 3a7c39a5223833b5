package upstream

import (
	"encoding/json"

	"gemini-client/events/jsonscan"
	"gemini-client/service/openrouter"
)

// maxToken bounds the names and ids of tool calls that are looked at, as they stand in
// the JSON: OpenRouter allows 64 characters for a name.
const maxToken = 512

// turn is what matters of one message, as it lies in the list.
type turn struct {
	at    int // its first byte
	role  string
	id    string // tool_call_id, as JSON
	calls []byte // tool_calls; nil if there are none
	named bool
}

// turns adapts the list of messages: what is needed is put in where it belongs, and the
// list, which may be long, stays as it is.
func (a *adaption) turns() {
	if !a.prefill && !a.named || len(a.Messages) == 0 {
		return
	}
	names := map[string]string{} // member to put in, by id
	var last turn
	var end int
	var named bool
	var inserts []openrouter.Insertion
	for begin, stop := range jsonscan.Spans(a.Messages) {
		last, end = turnAt(a.Messages, begin, stop), stop
		if !a.named {
			continue
		}
		callNames(last.calls, names)
		if name := names[last.id]; last.role == "tool" && !last.named && name != "" {
			inserts = append(inserts, openrouter.Insertion{At: last.at + 1, JSON: name})
			named = true
		}
	}
	if named {
		a.note("answers of tools get the name of their call")
	}
	if a.prefill && last.role == "assistant" && last.calls == nil {
		inserts = append(inserts, openrouter.Insertion{At: end, JSON: "," + goOn})
		a.note("a last message of the assistant (prefill), which the model refuses, is followed by a turn of the user that asks it to go on")
	}
	if len(inserts) > 0 {
		a.Insert = inserts
	}
}

// turnAt reads one message.
func turnAt(list []byte, begin, end int) turn {
	t := turn{at: begin}
	for key, value := range jsonscan.Members(list[begin:end]) {
		switch string(key) {
		case "role":
			t.role = word(value)
		case "name":
			t.named = word(value) != ""
		case "tool_call_id":
			t.id = token(value)
		case "tool_calls":
			t.calls = nil
			for range jsonscan.Elements(value) {
				t.calls = value
				break
			}
		}
	}
	return t
}

// callNames adds the names of tool calls to those that are known, by id.
func callNames(calls []byte, names map[string]string) {
	for _, one := range jsonscan.Elements(calls) {
		var id, name string
		for key, value := range jsonscan.Members(one) {
			switch string(key) {
			case "id":
				id = token(value)
			case "function":
				name = nameIn(value)
			}
		}
		if id != "" && len(name) > len(`""`) {
			names[id] = `"name":` + name + `,`
		}
	}
}

// nameIn is the name in a tool call's function, as it stands in the JSON.
func nameIn(function []byte) (name string) {
	for key, value := range jsonscan.Members(function) {
		if string(key) == "name" {
			name = token(value)
		}
	}
	return name
}

// token is a short string as it stands in the JSON; "" for anything else.
func token(value []byte) string {
	if len(value) > maxToken || len(value) == 0 || value[0] != '"' {
		return ""
	}
	return string(value)
}

// word is what a short string says; "" for anything else.
func word(value []byte) (text string) {
	if len(value) > maxToken || json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}
