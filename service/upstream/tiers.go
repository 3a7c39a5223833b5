package upstream

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"gemini-client/service/openrouter"
)

const tierField, flex = "service_tier", "flex"

// asksFlex reports whether a request asks for flex by its tier, which can be left
// out, or for endpoints of flex alone.
func asksFlex(r openrouter.Request) (byTier, byProvider bool) {
	if tier := extraField[string](r, tierField); tier != nil {
		byTier = *tier == flex
	}
	provider := extraField[struct {
		Only []string `json:"only"`
	}](r, "provider")
	if provider != nil && len(provider.Only) > 0 {
		byProvider = !slices.ContainsFunc(provider.Only, func(slug string) bool { return !strings.HasSuffix(slug, "/"+flex) })
	}
	return byTier, byProvider
}

// shed returns the error of an attempt, or the one that takes its place if flex had
// no capacity. Repeated attempts would only heat a tier that sheds load: the request
// comes later, or, if it says so, the default tier is asked at once. It says nothing
// about the key, the model or OpenRouter.
func (c *call) shed(e *Error) *Error {
	byTier, byProvider := asksFlex(c.request)
	if !byTier && !byProvider || !e.noCapacity() {
		return e
	}
	var api *openrouter.Error
	errors.As(e.cause, &api)
	k, wait := kindFlexFull, e.Wait
	if c.fallsBack && byTier && !byProvider {
		k, wait = kindFlexFallback, 0
		c.models() // notes what was asked for
		c.asked.Extra = maps.Clone(c.asked.Extra)
		delete(c.asked.Extra, tierField)
		c.asked.FirstToken = 0
	}
	full := newError(k, wait)
	full.say(strconv.Itoa(api.Status), api.Message)
	full.usage, full.cause = e.usage, e.cause
	return full
}

// noCapacity reports whether an attempt was refused for want of capacity. How
// OpenRouter refuses flex is not documented: a 429 or 503 is expected. What limits a
// key, a free tier or an account is told apart by its source.
func (e *Error) noCapacity() bool {
	var api *openrouter.Error
	if !errors.As(e.cause, &api) || api.Kind != openrouter.KindStatus || api.Edge || api.Started {
		return false
	}
	switch api.Status {
	case http.StatusServiceUnavailable, statusOverloaded:
		return true
	case http.StatusTooManyRequests:
		ours := strings.HasPrefix(api.LimitSource, "openrouter_") && e.kind != kindCapacityShared
		return !ours && !api.FreeTierDaily()
	}
	return false
}

// statusOverloaded is how OpenRouter says that a provider is overloaded.
const statusOverloaded = 529
