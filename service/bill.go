package service

import (
	"errors"
	"log/slog"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// bill is what OpenRouter tells of an attempt besides the answer. What failed
// may have been billed too.
type bill struct {
	usage        *openrouter.Usage
	generationID string
	provider     string
	finish       string
	firstToken   time.Time
}

// billOf reads the bill of an attempt that ended with an answer or an error.
func billOf(answer *openrouter.Completion, err error) bill {
	var failed *openrouter.Error
	switch {
	case answer != nil:
		return bill{answer.Usage, answer.ID, answer.Provider, answer.FinishReason, answer.FirstToken}
	case errors.As(err, &failed):
		return bill{failed.Usage, failed.GenerationID, failed.Provider, "", failed.FirstToken}
	}
	return bill{}
}

// bill is that of the attempt that ended the call.
func (re reply) bill() bill { return billOf(re.answer, re.err) }

// fill puts a bill into a result.
func (b bill) fill(r *events.Result) {
	r.FinishReason, r.Provider, r.GenerationID = text(b.finish), text(b.provider), text(b.generationID)
	if b.usage == nil {
		return
	}
	r.Cost = b.usage.Cost
	r.Usage = &events.Usage{
		PromptTokens: int(b.usage.PromptTokens), CompletionTokens: int(b.usage.CompletionTokens), TotalTokens: int(b.usage.TotalTokens),
		CachedTokens: count(b.usage.CachedTokens), ReasoningTokens: count(b.usage.ReasoningTokens),
	}
}

// attrs is a bill as a log line has it.
func (b bill) attrs() []slog.Attr {
	if b.usage == nil {
		return nil
	}
	attrs := []slog.Attr{slog.Int64("tokens_in", b.usage.PromptTokens), slog.Int64("tokens_out", b.usage.CompletionTokens)}
	if b.usage.Cost != nil {
		attrs = append(attrs, slog.Float64("cost", *b.usage.Cost))
	}
	return attrs
}

// text is nil for what is not known.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func count(n *int64) *int {
	if n == nil {
		return nil
	}
	i := int(*n)
	return &i
}
