package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"gemini-client/service/budget"
	"gemini-client/service/openrouter"
)

const (
	framing    = 64 // tokens around a prompt, at most
	perMessage = 16 // and around each of its messages
)

// estimate is what a call costs at most, in millionths of a USD: a token for each byte
// of its texts, or the whole context where it has media, and max_tokens of answer, at the
// list price of the dearest of the models that may answer. The error is an *Error.
func (u *Caller) estimate(ctx context.Context, c *call) (int64, error) {
	if what := unbounded(&c.request); what != "" {
		e := newError(kindUnbounded, 0)
		e.say("", what)
		return 0, e
	}
	tokens, pieces := readAtMost(&c.request)
	var most float64
	for i, model := range modelsOf(&c.request) {
		info, gone, err := u.prices.of(ctx, c.lease.key.secret, model)
		switch {
		case err != nil && context.Cause(ctx) != nil:
			return 0, context.Cause(ctx)
		case err != nil:
			e := newError(kindUnpriced, modelLater)
			e.say(model, err.Error())
			e.GoesBack = true
			return 0, e
		case gone && i > 0: // a fallback that is no more answers nothing
			continue
		case gone, !info.Pricing.Bounded:
			e := newError(kindUnlisted, 0)
			e.say(model, "")
			return 0, e
		}
		most = max(most, costAtMost(info, tokens, pieces, c.request.MaxTokens))
	}
	return budget.Micros(most), nil
}

func costAtMost(info openrouter.ModelInfo, tokens, pieces, answer int) float64 {
	p, read := info.Pricing, float64(tokens)
	price := p.MostRead
	whole := float64(info.ContextLength)
	switch {
	case pieces > 0:
		read, price = max(read, whole), p.MostMedia
	case whole > 0:
		read = min(read, whole)
	}
	return read*float64(price) + float64(answer)*float64(p.MostWritten) + float64(pieces)*float64(p.MostPiece) + float64(p.MostCall)
}

// readAtMost is how many tokens the texts of a request have at most, and how many of its
// parts are none.
func readAtMost(r *openrouter.Request) (tokens, pieces int) {
	tokens = framing + len(r.System) + len(r.Prompt) + len(r.Messages)
	for _, field := range r.Extra {
		tokens += len(field)
	}
	var messages []struct {
		Content json.RawMessage `json:"content"`
	}
	if len(r.Messages) == 0 {
		return tokens, 0
	}
	if json.Unmarshal(r.Messages, &messages) != nil {
		return tokens, 1
	}
	for _, m := range messages {
		tokens += perMessage
		if content := bytes.TrimSpace(m.Content); len(content) > 0 && content[0] != '"' && !bytes.Equal(content, []byte("null")) {
			pieces += media(content)
		}
	}
	return tokens, pieces
}

// media counts the parts of a content that are no text.
func media(content []byte) (n int) {
	var parts []struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(content, &parts) != nil {
		return 1
	}
	for _, part := range parts {
		if part.Type != "text" {
			n++
		}
	}
	return n
}

// unbounded returns what a request asks for whose price the catalogue does not tell; ""
// if there is nothing.
func unbounded(r *openrouter.Request) string {
	for _, model := range modelsOf(r) {
		switch _, variant, _ := strings.Cut(model, ":"); {
		case strings.Contains(model, "@"):
			return "a preset"
		case variant == "online", variant == "nitro":
			return "the suffix :" + variant
		}
	}
	for _, name := range []string{"preset", "plugins", "web_search_options"} {
		if value := string(bytes.TrimSpace(r.Extra[name])); value != "" && value != "null" && value != "[]" {
			return name
		}
	}
	return dearer(r)
}

// dearer returns which price tier or tool, of those that the catalogue does not price, a
// request asks for.
func dearer(r *openrouter.Request) string {
	if tier := extraField[string](*r, tierField); tier != nil && (*tier == "priority" || *tier == "scale") {
		return "the tier " + *tier
	}
	if bytes.Contains(r.Extra["provider"], []byte("/priority")) {
		return "endpoints of the tier priority"
	}
	type tool struct {
		Type string `json:"type"`
	}
	tools := extraField[[]tool](*r, "tools")
	if tools != nil && slices.ContainsFunc(*tools, func(t tool) bool { return t.Type != "function" }) {
		return "a tool of the server"
	}
	return ""
}

// isUnknown reports whether OpenRouter says that there is no such model.
func isUnknown(err error) bool {
	api, ok := errors.AsType[*openrouter.Error](err)
	return ok && api.Status == http.StatusNotFound && !api.Edge
}
