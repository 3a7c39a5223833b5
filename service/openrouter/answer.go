package openrouter

import (
	"cmp"
	"strings"
	"time"
)

// firstText is how many bytes a text gets with its first ones.
const firstText = 1 << 10

// An answer collects the chunks of one call. Its memory is limited by max.
type answer struct {
	id, model, provider string
	tier                string
	content, reasoning  strings.Builder
	details, refusal    strings.Builder // details: reasoning_details, used when there is no reasoning
	calls               toolCalls
	finish, native      string
	usage               *Usage
	size, max           int
	firstToken          time.Time // when tokens began to arrive; zero before
	forgotten           bool      // only the usage is kept
}

// forget drops the texts, and has none kept any more.
func (a *answer) forget() {
	a.content, a.reasoning, a.details, a.refusal = strings.Builder{}, strings.Builder{}, strings.Builder{}, strings.Builder{}
	a.calls, a.forgotten = nil, true
}

// absorb adds a chunk and passes its content to emit. It reports whether the chunk brought tokens or a finish_reason.
func (a *answer) absorb(c *chunk, emit func(string)) bool {
	a.id = cmp.Or(a.id, c.ID)
	a.model = cmp.Or(c.Model, a.model)
	a.provider = cmp.Or(c.Provider, a.provider)
	a.tier = cmp.Or(c.Tier, a.tier)
	a.usage = cmp.Or(c.usage(), a.usage)
	progress := false
	for _, choice := range c.Choices {
		if choice.Index != 0 {
			continue // only the first choice is the answer; another one would be mixed into it
		}
		switch {
		case choice.FinishReason == finishError: // what comes with it is junk, such as "<ctrl46>"
		case choice.Delta != nil:
			progress = a.add(choice.Delta, false, emit) || progress
		case choice.Message != nil:
			progress = a.add(choice.Message, true, emit) || progress
		}
		if progress {
			a.start()
		}
		progress = a.end(choice) || progress
	}
	return progress
}

// start records the time of the first token.
func (a *answer) start() {
	if !a.started() {
		a.firstToken = time.Now()
	}
}

func (a *answer) started() bool { return !a.firstToken.IsZero() }

// add adds the fields of a delta, or those of a whole message. It reports whether there were any.
func (a *answer) add(p *piece, whole bool, emit func(string)) bool {
	before := a.size
	a.write(&a.reasoning, p.Reasoning)
	for _, d := range p.Details {
		a.size++ // an encrypted one counts as a token too
		if a.reasoning.Len() == 0 {
			a.write(&a.details, d.Text)
			a.write(&a.details, d.Summary)
		}
	}
	a.write(&a.refusal, p.Refusal)
	for _, f := range p.ToolCalls {
		if a.forgotten {
			a.size++
		} else {
			a.size += a.calls.add(f, whole)
		}
	}
	begin := a.content.Len()
	a.write(&a.content, p.Content)
	if piece := a.content.String()[begin:]; piece != "" {
		emit(piece)
	}
	return a.size > before
}

// end records a finish_reason. The usage chunk may repeat it: the first counts, unless a later one says "error".
func (a *answer) end(c choice) bool {
	if c.FinishReason == "" {
		return false
	}
	first := a.finish == ""
	if first || c.FinishReason == finishError && a.finish != finishError {
		a.finish, a.native = c.FinishReason, ""
	}
	a.native = cmp.Or(a.native, c.NativeFinishReason)
	return first
}

func (a *answer) write(to *strings.Builder, s []byte) {
	a.size += len(s)
	if !a.forgotten && !a.tooLarge() {
		if to.Len() == 0 && len(s) > 0 {
			to.Grow(max(len(s), min(firstText, a.max))) // one allocation for most, in place of eight
		}
		to.Write(s)
	}
}

func (a *answer) tooLarge() bool { return !a.forgotten && a.size > a.max }

// empty reports whether the answer has no content, reasoning, refusal or tool calls.
func (a *answer) empty() bool {
	return a.content.Len()+a.reasoning.Len()+a.details.Len()+a.refusal.Len() == 0 && len(a.calls) == 0
}

func (a *answer) completion() *Completion {
	reasoning := a.reasoning.String()
	if reasoning == "" {
		reasoning = a.details.String()
	}
	return &Completion{
		ID: a.id, Model: a.model, Provider: a.provider, ServiceTier: a.tier,
		Content: a.content.String(), Reasoning: reasoning, Refusal: a.refusal.String(), ToolCalls: a.calls.encode(),
		FinishReason: a.finish, NativeFinishReason: a.native, Usage: a.usage, FirstToken: a.firstToken,
	}
}
