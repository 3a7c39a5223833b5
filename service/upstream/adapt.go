package upstream

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// familyOf returns what is special about a model; nil if nothing is known to be.
func familyOf(model string) *family {
	name, _, _ := strings.Cut(model, "@")
	name, _, _ = strings.Cut(name, ":")
	for i := range families {
		for _, glob := range families[i].models {
			if ok, err := path.Match(glob, name); ok && err == nil {
				return &families[i]
			}
		}
	}
	return nil
}

// adapt makes a request one that a model takes, and says what is done otherwise, as
// clauses for people on call. What the request refers to is not changed, and its texts
// are not copied.
func adapt(model string, r *openrouter.Request) []string {
	f := familyOf(model)
	if f == nil {
		return nil
	}
	a := adaption{family: f, Request: r}
	a.leaveOut()
	a.withoutEffect()
	a.reason()
	a.turns()
	return a.notes
}

// An adaption is a request on its way to a family.
type adaption struct {
	*family
	*openrouter.Request
	notes []string
	own   bool // Extra is ours already
}

func (a *adaption) note(format string, args ...any) {
	a.notes = append(a.notes, fmt.Sprintf(format, args...))
}

// set replaces one of the further fields; nil removes it.
func (a *adaption) set(name string, value json.RawMessage) {
	if !a.own {
		a.Extra, a.own = maps.Clone(a.Extra), true
	}
	if a.Extra[name] = value; value == nil {
		delete(a.Extra, name)
	}
}

// leaveOut removes the fields that the family refuses.
func (a *adaption) leaveOut() {
	for _, name := range a.refused {
		if _, given := a.Extra[name]; given {
			a.set(name, nil)
			a.note("%s is left out, the model refuses it", name)
		}
	}
}

// withoutEffect says which fields are ignored. They are sent all the same, and cost
// nothing, unless the request insists on providers that know every parameter: then
// they might leave no provider at all.
func (a *adaption) withoutEffect() {
	insists := requiresParameters(a.Extra)
	var names []string
	ignore := func(name string, given, custom bool, remove func()) {
		if !given || !slices.Contains(a.ignored, name) {
			return
		}
		if custom || insists {
			names = append(names, name)
		}
		if insists {
			remove()
		}
	}
	ignore(fieldTemperature, a.Temperature != nil, a.Temperature != nil && *a.Temperature != events.DefaultTemperature, func() { a.Temperature = nil })
	ignore(fieldTopP, a.TopP != nil, a.TopP != nil && *a.TopP != events.DefaultTopP, func() { a.TopP = nil })
	ignore(fieldTopK, a.TopK != nil, a.TopK != nil && *a.TopK != events.DefaultTopK, func() { a.TopK = nil })
	switch list := strings.Join(names, ", "); {
	case len(names) == 0:
	case insists:
		a.note("%s: left out, the model ignores it and provider.require_parameters asks for providers that know every parameter", list)
	default:
		a.note("%s: without effect, the model ignores it", list)
	}
}

// reason turns what is asked of the reasoning into an effort that the family knows.
func (a *adaption) reason() {
	var effort string
	if raw, given := a.Extra["reasoning_effort"]; given && json.Unmarshal(raw, &effort) == nil && a.efforts[effort] != "" {
		a.set("reasoning_effort", quoted(a.efforts[effort]))
		a.note("reasoning_effort %s becomes %s", effort, a.efforts[effort])
	}
	var fields map[string]json.RawMessage
	var known struct {
		Effort  *string  `json:"effort"`
		Budget  *float64 `json:"max_tokens"`
		Enabled *bool    `json:"enabled"`
	}
	raw, given := a.Extra["reasoning"]
	if !given || json.Unmarshal(raw, &fields) != nil || json.Unmarshal(raw, &known) != nil {
		return // OpenRouter will say what is wrong with it
	}
	instead := ""
	switch {
	case known.Effort != nil && known.Budget != nil: // OpenRouter refuses it, whatever the model
	case known.Effort != nil && a.efforts[*known.Effort] != "":
		instead = a.efforts[*known.Effort]
		a.note("reasoning.effort %s becomes %s", *known.Effort, instead)
	case known.Budget != nil && a.levels:
		instead = effortOf(*known.Budget, a.MaxTokens)
		a.note("reasoning.max_tokens becomes an effort, the model has no budget for reasoning")
	case known.Effort == nil && known.Enabled != nil && !*known.Enabled && a.efforts[effortNone] != "":
		instead = a.efforts[effortNone]
		a.note("reasoning.enabled false becomes effort %s, the model always reasons", instead)
	}
	if instead == "" {
		return
	}
	delete(fields, "max_tokens")
	if known.Enabled != nil && !*known.Enabled {
		delete(fields, "enabled")
	}
	fields["effort"] = quoted(instead)
	encoded, err := json.Marshal(fields)
	if err == nil { // it was JSON before
		a.set("reasoning", encoded)
	}
}

// effortOf is the effort that stands for a budget of reasoning out of so many tokens of
// an answer.
func effortOf(budget float64, maxTokens int) string {
	share := 100 * budget / float64(cmp.Or(maxTokens, events.DefaultMaxOutputTokens))
	for _, e := range effortShares {
		if share >= float64(e.share) {
			return e.effort
		}
	}
	return effortShares[len(effortShares)-1].effort
}

func quoted(word string) json.RawMessage { return json.RawMessage(`"` + word + `"`) }

// fit makes the request of the next attempt as its model takes it. Of the models
// that OpenRouter may try in turn those stay that take the very same body: the service
// asks the others itself.
func (u *Caller) fit(ctx context.Context, c *call) {
	model, r := c.request.Model, &c.sent
	*r = c.request
	notes := adapt(model, r)
	kept, fitted := []string{model}, adapted{model, r, notes}
	for _, other := range modelsOf(&c.request)[1:] {
		switch {
		case c.asksAlone():
		case fitted.suits(other, &c.request):
			kept = append(kept, other)
		default:
			notes = append(notes, other+" is not sent as a fallback along with it, which takes another body")
		}
	}
	if len(kept) < len(modelsOf(&c.request)) {
		r.Extra = maps.Clone(r.Extra)
		delete(r.Extra, "models")
		if r.Models = kept; len(kept) == 1 {
			r.Models = nil
		}
	}
	for _, note := range notes {
		if u.adapted.first(model, note) {
			u.tel.Logger.InfoContext(ctx, "requests are adapted to a model (said once): "+note, "model", model)
		}
	}
}

// asksAlone reports whether the service's fallbacks are kept from OpenRouter: a list would
// replace that of a preset, and have an ordinary model answer for one of the Batch API.
func (c *call) asksAlone() bool {
	return !c.ownList && (strings.Contains(c.request.Model, "@") || strings.HasSuffix(c.request.Model, ":batch"))
}

// adapted is a request as a model takes it, and what was done otherwise.
type adapted struct {
	model   string
	request *openrouter.Request
	notes   []string
}

// suits reports whether another model takes the request as it was adapted.
func (a adapted) suits(other string, original *openrouter.Request) bool {
	if familyOf(other) == familyOf(a.model) {
		return true
	}
	own := *original
	notes := adapt(other, &own)
	if len(notes)+len(a.notes) == 0 {
		return true // nothing was done for either
	}
	return reflect.DeepEqual(&own, a.request) // texts that lie in the same place are not read
}

// maxSaid bounds what is remembered of what was said: requesters name the models.
const maxSaid = 1000

// said remembers what the log says once in a process.
type said struct {
	mu  sync.Mutex
	all map[[2]string]bool
}

// first reports whether something is to be said of a model for the first time. What
// cannot be remembered is not said.
func (s *said) first(model, what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[[2]string{model, what}] || len(s.all) >= maxSaid {
		return false
	}
	if s.all == nil {
		s.all = map[[2]string]bool{}
	}
	s.all[[2]string{model, what}] = true
	return true
}
