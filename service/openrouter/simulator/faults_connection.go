package simulator

import (
	"net/http"
	"strings"
)

// connectionFaults break the connection, leave it silent, or send the client elsewhere.
func connectionFaults() []kind {
	ways := param{
		name: "how", value: "reset", oneOf: "reset|close|eof",
		about: "reset (TCP), close (the body's end is missing) or eof (the body ends cleanly)",
	}
	return []kind{
		{
			name: "refuse", about: "the connection is closed without an answer",
			answer: func(*exchange, args) reply { return reply{end: endClosed} },
		},
		{
			name: "hang", about: "no answer, not even headers",
			params: []param{{name: "for", form: span, about: "an ordinary answer after that time"}},
			bend: func(e *exchange, r reply, a args) reply {
				r.before = a.duration("for")
				e.gen.unbilled = r.before == forever
				return r
			},
		},
		{
			name: "hang_after_headers", about: "headers, then nothing", unbilled: true,
			bend: func(_ *exchange, r reply, _ args) reply {
				r.steps, r.end = nil, endHanging
				return r
			},
		},
		{
			name: "stall", about: "silence after some pieces", params: []param{afterDeltas("2")},
			bend: func(_ *exchange, r reply, a args) reply {
				r.steps, r.end = r.upTo(a.number("after")), endHanging
				return r
			},
		},
		{
			name: "cut", about: "the connection breaks in the middle of an event",
			params: []param{afterDeltas("2"), ways}, bend: cut,
		},
		{
			name: "reset", about: "a TCP reset between two events", params: []param{afterDeltas("2")}, bend: reset,
		},
		{
			name: "truncate", about: "a clean EOF between two events, no finish_reason, no [DONE]",
			params: []param{afterDeltas("2")},
			bend: func(_ *exchange, r reply, a args) reply {
				r.steps = r.upTo(a.number("after"))
				return r
			},
		},
		{
			name: "redirect", about: "a redirect to another host", answer: redirect,
			params: []param{
				{name: "to", value: "https://elsewhere.example/api/v1/chat/completions", about: "the Location"},
				{name: "code", value: "307", oneOf: "301|302|303|307|308", about: "the status"},
			},
		},
	}
}

// reset sends the pieces before it.
func reset(_ *exchange, r reply, a args) reply {
	r.steps, r.end = r.upTo(a.number("after")), endReset
	return r
}

// cut sends the pieces before it and half of the next step.
func cut(_ *exchange, r reply, a args) reply {
	whole := r.upTo(a.number("after"))
	if len(whole) < len(r.steps) {
		torn := r.steps[len(whole)]
		data := torn.bytes()
		whole = append(whole, step{part: torn.part, wait: torn.wait, raw: data[:len(data)/2]})
	}
	r.steps, r.end = whole, endingOf(a["how"])
	return r
}

func endingOf(how string) ending {
	switch how {
	case "reset":
		return endReset
	case "close":
		return endClosed
	}
	return endProperly
}

func redirect(_ *exchange, a args) reply {
	status := http.StatusTemporaryRedirect
	switch a["code"] {
	case "301":
		status = http.StatusMovedPermanently
	case "302":
		status = http.StatusFound
	case "303":
		status = http.StatusSeeOther
	case "308":
		status = http.StatusPermanentRedirect
	}
	return reply{status: status, header: http.Header{"Location": {strings.TrimSpace(a["to"])}}}
}
