package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
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
	var messages []json.RawMessage
	if len(r.Messages) == 0 {
		return tokens, 0
	}
	if json.Unmarshal(r.Messages, &messages) != nil {
		return tokens, 1
	}
	for _, m := range messages {
		tokens += perMessage
		content := bytes.TrimSpace(exactly(m)["content"])
		if len(content) > 0 && content[0] != '"' && !bytes.Equal(content, []byte("null")) {
			pieces += media(content)
		}
	}
	return tokens, pieces
}

// exactly returns the fields of an object by their exact names. A struct would take "Type"
// for "type", which OpenRouter does not.
func exactly(object json.RawMessage) (fields map[string]json.RawMessage) {
	if json.Unmarshal(object, &fields) != nil {
		return nil
	}
	return fields
}

// typeOf is the type of a part or a tool; "" if it has none.
func typeOf(object json.RawMessage) (name string) {
	if json.Unmarshal(exactly(object)["type"], &name) != nil {
		return ""
	}
	return name
}

// media counts the parts of a content that are no text.
func media(content []byte) (n int) {
	var parts []json.RawMessage
	if json.Unmarshal(content, &parts) != nil {
		return 1
	}
	for _, part := range parts {
		if typeOf(part) != "text" {
			n++
		}
	}
	return n
}

// unbounded returns what a request asks for whose price the catalogue does not tell; ""
// if there is nothing.
func unbounded(r *openrouter.Request) string {
	for _, model := range modelsOf(r) {
		if strings.Contains(model, "@") {
			return "a preset"
		}
		for _, variant := range strings.Split(model, ":")[1:] {
			if variant == "online" || variant == "nitro" {
				return "the suffix :" + variant
			}
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
	if what := dearerProvider(r.Extra["provider"]); what != "" {
		return what
	}
	tools := extraField[[]json.RawMessage](*r, "tools")
	if tools != nil && slices.ContainsFunc(*tools, func(tool json.RawMessage) bool { return typeOf(tool) != "function" }) {
		return "a tool of the server"
	}
	return ""
}

// dearerProvider returns what of a choice of providers has no known price: a dear tier, or
// the fastest, whatever they cost, which is what :nitro asks for.
func dearerProvider(choice json.RawMessage) string {
	if len(choice) == 0 {
		return ""
	}
	var all any
	if json.Unmarshal(choice, &all) != nil || mentions(all, "/priority") {
		return "endpoints of the tier priority"
	}
	fields, _ := all.(map[string]any)
	sort := fields["sort"]
	if object, ok := sort.(map[string]any); ok {
		sort = object["by"]
	}
	if sort != nil && sort != "price" {
		return "providers by another measure than their price (provider.sort)"
	}
	return ""
}

// mentions reports whether a string in a JSON value has some words in it.
func mentions(value any, words string) bool {
	has := func(v any) bool { return mentions(v, words) }
	switch v := value.(type) {
	case string:
		return strings.Contains(v, words)
	case []any:
		return slices.ContainsFunc(v, has)
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), has)
	}
	return false
}

// isUnknown reports whether OpenRouter says that there is no such model.
func isUnknown(err error) bool {
	api, ok := errors.AsType[*openrouter.Error](err)
	return ok && api.Status == http.StatusNotFound && !api.Edge
}
