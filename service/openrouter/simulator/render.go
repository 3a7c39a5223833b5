package simulator

import (
	"net/http"
	"time"
)

const (
	// keepAlive is how often something is sent while nothing has been generated yet.
	keepAlive = 500 * time.Millisecond
	// comment is sent meanwhile in a stream, padding in a body.
	comment = ": OPENROUTER PROCESSING\n\n"
	padding = "\n         \n"
	// done ends a stream.
	done = "data: [DONE]\n\n"
)

// render makes the reply of an ordinary answer in the form the request asked for.
func (e *exchange) render() reply {
	if e.asked.Stream {
		return e.renderStream()
	}
	return e.renderBody()
}

// renderStream makes the reply for stream: true.
func (e *exchange) renderStream() reply {
	g, gap := e.gen, e.sim.config.TokenInterval
	steps := paced(partComment, comment, e.sim.config.Latency)
	rest := steps[len(steps)-1].wait
	steps = steps[:len(steps)-1]
	deltas := g.deltas()
	for i, d := range deltas {
		wait := gap
		if i == 0 {
			wait = rest
		}
		steps = append(steps, step{part: partDelta, wait: wait, chunk: g.chunk(d, "", "")})
	}
	finish := g.chunk(text(""), g.finish, g.native)
	finish.Choices[0].Error = g.problem
	last := step{part: partFinish, wait: gap, chunk: finish}
	if len(deltas) == 0 {
		last.wait = rest
	}
	account := g.chunk(text(""), g.finish, g.native)
	if e.sim.config.UsageWithoutChoice {
		account.Choices = []streamChoice{}
	}
	account.Usage = g.usage()
	steps = append(steps, last, step{part: partUsage, chunk: account}, step{part: partDone, raw: done})
	return reply{status: http.StatusOK, header: e.header("text/event-stream"), steps: steps}
}

// renderBody makes the reply for stream: false, JSON after padding.
func (e *exchange) renderBody() reply {
	took := e.sim.config.Latency + time.Duration(len(e.gen.deltas()))*e.sim.config.TokenInterval
	steps := paced(partComment, padding, took)
	steps[len(steps)-1].part, steps[len(steps)-1].raw = partRaw, encode(e.gen.whole())
	return reply{status: http.StatusOK, header: e.header("application/json"), steps: steps}
}

// whole returns the answer as one document.
func (g *generation) whole() completion {
	message := wholeMessage{Role: "assistant", Content: &g.content, ToolCalls: g.tools}
	if g.tools != nil {
		message.Content = nil
	}
	if g.reasoning != "" {
		message.Reasoning, message.ReasoningDetails = &g.reasoning, details(g.reasoning)
	}
	return completion{
		ID: g.id, Object: "chat.completion", Created: g.created, Model: g.model, Provider: providerName, Tier: g.tier,
		Choices: []wholeChoice{{
			FinishReason: reason(g.finish), NativeReason: reason(g.native), Message: message, Error: g.problem,
		}},
		Usage: g.usage(),
	}
}

// header returns the headers of an answer that a model has begun.
func (e *exchange) header(contentType string) http.Header {
	h := http.Header{
		"Content-Type":    {contentType},
		"Cache-Control":   {"no-cache"},
		"X-Generation-Id": {e.gen.id},
	}
	e.cache.describe(h)
	return h
}

// paced sends keep-alives, one at once and then one every keepAlive until the time is over. The last step is empty and waits
// for what is left of the time.
func paced(p part, sign string, total time.Duration) []step {
	steps := []step{{part: p, raw: sign}}
	for ; total > keepAlive; total -= keepAlive {
		steps = append(steps, step{part: p, wait: keepAlive, raw: sign})
	}
	return append(steps, step{wait: total})
}

// chunk makes an event of a delta.
func (g *generation) chunk(d delta, finish, native string) *chunk {
	return &chunk{
		ID: g.id, Object: "chat.completion.chunk", Created: g.created, Model: g.model, Provider: providerName, Tier: g.tier,
		Choices: []streamChoice{{Delta: d, FinishReason: reason(finish), NativeReason: reason(native)}},
	}
}

// deltas returns the pieces of the answer: reasoning, content, tool calls. Each repeats the role, as Google's do.
func (g *generation) deltas() []delta {
	var all []delta
	for _, piece := range split(g.reasoning, g.pieceSize) {
		d := text("")
		d.Reasoning, d.ReasoningDetails = []byte(encode(piece)), details(piece)
		all = append(all, d)
	}
	for _, piece := range split(g.content, g.pieceSize) {
		all = append(all, text(piece))
	}
	for _, fragment := range g.fragments() {
		all = append(all, delta{Role: "assistant", ToolCalls: []toolFragment{fragment}})
	}
	return all
}

// fragments cuts every tool call into its head and two pieces of its arguments.
func (g *generation) fragments() []toolFragment {
	var inOrder []toolFragment
	for _, t := range g.tools {
		half := len(t.Function.Arguments) / 2
		inOrder = append(inOrder,
			toolFragment{Index: t.Index, ID: t.ID, Type: t.Type, Function: toolFunction{Name: t.Function.Name}},
			toolFragment{Index: t.Index, Function: toolFunction{Arguments: t.Function.Arguments[:half]}},
			toolFragment{Index: t.Index, Function: toolFunction{Arguments: t.Function.Arguments[half:]}})
	}
	if !g.interleaved {
		return inOrder
	}
	const each = 3
	var mixed []toolFragment
	for i := range each {
		for j := i; j < len(inOrder); j += each {
			mixed = append(mixed, inOrder[j])
		}
	}
	return mixed
}

// text is a delta of content.
func text(content string) delta { return delta{Content: &content, Role: "assistant"} }

// details is a piece of reasoning in its structured form.
func details(text string) []reasoningDetail {
	return []reasoningDetail{{Type: "reasoning.text", Text: text, Format: "google-gemini-v1"}}
}
