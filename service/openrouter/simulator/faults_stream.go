package simulator

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// streamFaults change how an answer is sent after its 200. Where one means nothing for an answer that is not streamed,
// that answer is an ordinary one.
func streamFaults() []kind {
	return []kind{
		{
			name: "200_error", about: "200 and a JSON body that is an error", bend: errorIn200, unbilled: true,
			params: []param{codeOrWord(), typed(), choices("absent", "absent or none: an empty list beside the error")},
		},
		{name: "blank", about: "200 and nothing but whitespace", bend: blank, unbilled: true},
		{
			name: "json", about: "a JSON body though a stream was asked for",
			bend: func(e *exchange, _ reply, _ args) reply { return e.renderBody() },
		},
		{
			name: "first_event_error", about: "200, and an error is the first and only event",
			params: []param{codeOrWord(), typed(), choices("one", "one or none: an empty list beside the error")}, bend: firstEventError,
		},
		{
			name: "mid_error", about: "an error event after some pieces", bend: midError,
			params: []param{
				codeOrWord(), typed(), afterDeltas("2"), choices("one", "one or none: an empty list beside the error"),
			},
		},
		{
			name: "content_on_finish", about: "the finish chunk carries the last piece of content",
			bend: contentOnFinish,
		},
		{name: "null_content", about: "a chunk whose content is null", bend: nullContent},
		{name: "double_finish", about: "two chunks with a finish_reason", bend: doubleFinish},
		{
			name: "usage_without_choice", about: "the usage chunk in its older form, choices []",
			bend: usageWithoutChoice,
		},
		{
			name: "no_done", about: "EOF without [DONE]",
			bend: func(_ *exchange, r reply, _ args) reply { return r.without(partDone) },
		},
		{
			name: "no_usage", about: "EOF after the finish chunk, before usage",
			bend: func(_ *exchange, r reply, _ args) reply { return r.without(partUsage, partDone) },
		},
		{
			name: "drip", about: "a slow answer", params: []param{{name: "gap", value: "1s", form: span, about: "between pieces"}},
			bend: drip,
		},
		{
			name: "comments", about: "keep-alive comments without end", bend: endlessComments,
			params: []param{
				afterDeltas("0"),
				{name: "every", value: "500ms", form: span, about: "between comments"},
			},
		},
	}
}

// disconnected is the message of an error after the 200.
const disconnected = "Provider disconnected unexpectedly"

// codeOrWord is the parameter for a code that is sent as a number, or as a string if it is none.
func codeOrWord() param {
	return param{name: "code", value: "502", about: "error.code: a number, or a word such as server_error"}
}

// typed is the parameter for another error_type than the code's own.
func typed() param {
	return param{name: "type", about: "metadata.error_type, in place of the code's own"}
}

// choices is the parameter for what stands in choices beside an error.
func choices(value, about string) param {
	return param{name: "choices", value: value, oneOf: value + "|none", about: about}
}

// eventError is the error object for such a code.
func eventError(a args, message string) *apiError {
	problem := &apiError{Code: a["code"], Message: message}
	if status, err := strconv.Atoi(a["code"]); err == nil {
		problem = streamError(status, message)
	}
	if a["type"] != "" {
		problem.Metadata = map[string]any{"error_type": a["type"]}
	}
	return problem
}

func errorIn200(e *exchange, _ reply, a args) reply {
	body := errorBody{Error: *eventError(a, "Provider returned error"), UserID: userID}
	if a["choices"] == "none" {
		body.Choices = &[]streamChoice{}
	}
	return reply{status: http.StatusOK, header: e.header("application/json"), steps: []step{
		{part: partComment, raw: padding},
		{raw: encode(body)},
	}}
}

func blank(e *exchange, r reply, _ args) reply {
	contentType := r.header.Get("Content-Type")
	return reply{status: http.StatusOK, header: e.header(contentType), steps: []step{
		{part: partComment, raw: padding}, {part: partComment, raw: padding},
	}}
}

func firstEventError(e *exchange, r reply, a args) reply {
	if !e.asked.Stream {
		return errorIn200(e, r, a)
	}
	first := maps.Clone(a)
	first["after"] = "0"
	return midError(e, r, first)
}

// midError sends the pieces before it, then one chunk with an error, then nothing.
func midError(e *exchange, r reply, a args) reply {
	if !e.asked.Stream {
		choiceError(e.gen, a)
		return e.renderBody()
	}
	e.gen.finish, e.gen.native = "error", ""
	r.steps = r.upTo(a.number("after"))
	empty := ""
	failed := e.gen.chunk(delta{Content: &empty}, "error", "")
	failed.Error = eventError(a, disconnected)
	if a["choices"] == "none" {
		failed.Choices = []streamChoice{}
	}
	r.steps = append(r.steps, step{chunk: failed})
	return r
}

func contentOnFinish(_ *exchange, r reply, _ args) reply {
	finish := r.index(partFinish)
	if finish < 1 || r.steps[finish-1].part != partDelta {
		return r
	}
	r.steps[finish].chunk.Choices[0].Delta = r.steps[finish-1].chunk.Choices[0].Delta
	r.steps = slices.Delete(r.steps, finish-1, finish)
	return r
}

func nullContent(e *exchange, r reply, _ args) reply {
	if first := r.index(partDelta); first >= 0 {
		null := step{part: partDelta, wait: r.steps[first].wait, chunk: e.gen.chunk(delta{Role: "assistant"}, "", "")}
		r.steps = slices.Insert(r.steps, first, null)
	}
	return r
}

func doubleFinish(_ *exchange, r reply, _ args) reply {
	if finish := r.index(partFinish); finish >= 0 {
		r.steps = slices.Insert(r.steps, finish, r.steps[finish])
	}
	return r
}

func usageWithoutChoice(_ *exchange, r reply, _ args) reply {
	if i := r.index(partUsage); i >= 0 {
		r.steps[i].chunk.Choices = []streamChoice{}
	}
	return r
}

func drip(_ *exchange, r reply, a args) reply {
	for i := range r.steps {
		if r.steps[i].part == partDelta {
			r.steps[i].wait = a.duration("gap")
		}
	}
	return r
}

func endlessComments(e *exchange, r reply, a args) reply {
	sign := comment
	if !e.asked.Stream {
		sign = padding
	}
	e.gen.unbilled = a.number("after") == 0
	r.steps = append(r.upTo(a.number("after")), step{
		part: partComment, raw: sign, endless: true, wait: max(a.duration("every"), time.Millisecond),
	})
	return r
}

// index returns where the first step of that part is, or -1.
func (r reply) index(p part) int {
	return slices.IndexFunc(r.steps, func(st step) bool { return st.part == p })
}

// without returns the reply without the steps of those parts.
func (r reply) without(parts ...part) reply {
	r.steps = slices.DeleteFunc(r.steps, func(st step) bool { return slices.Contains(parts, st.part) })
	return r
}

// upTo returns the steps up to the nth delta, keep-alives before it included. A body that is not streamed has only
// keep-alives before it.
func (r reply) upTo(n int) []step {
	for i, st := range r.steps {
		switch {
		case st.part == partComment:
		case st.part == partDelta && n > 0:
			n--
		default:
			return r.steps[:i:i]
		}
	}
	return slices.Clip(r.steps)
}
