package events

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Rules is what Decode needs to know of the service's settings.
type Rules struct {
	// DefaultModel is used when a request names no model. Like a request, it
	// may name a Gemini model without its google/ prefix.
	DefaultModel string
	// DefaultCallback is used when a request names no callback, and when it
	// names one that is not allowed.
	DefaultCallback string
	// Callbacks are the callbacks a request may name.
	Callbacks []string
	// Models are patterns, in the syntax of path.Match, for the models a request may name.
	Models []string
	// Plugins are OpenRouter's plugins and server tools a request may use: they cost extra.
	Plugins []string
	// Tiers are the price tiers a request may ask for besides auto and default.
	Tiers []string
	// MaxBytes bounds the body. 0 means no limit.
	MaxBytes int
	// BodiesBucket is the bucket that a request's body_ref has to name.
	BodiesBucket string
	// MaxBody bounds the object of a body_ref. 0 means no limit.
	MaxBody int
	// Tenant is whose requests these rules are for; see Of.
	Tenant string
	// TenantModels are patterns like Models, of which a model has to match one as well. None
	// allow all.
	TenantModels []string
	// Isolated reports whether a tenant is isolated, so that only its own requests may
	// name its callback. Nil: none is.
	Isolated func(tenant string) bool
	// Names are those of the service, by which such a callback is known.
	Names Names

	own bool // the one callback is an isolated tenant's
}

// Validate checks the rules themselves. The error joins one error for each
// problem; each begins with the name of the setting.
func (r Rules) Validate() error {
	var errs []error
	if len(r.Models) == 0 {
		errs = append(errs, errors.New("MODELS_ALLOW: has no entry; name at least one pattern, such as google/*"))
	}
	for _, pattern := range r.Models {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			errs = append(errs, fmt.Errorf("MODELS_ALLOW: entry %s is not a pattern; "+
				"give a model's name, with * for any characters but /", quote(pattern)))
		}
	}
	if r.DefaultModel == "" {
		errs = append(errs, errors.New("OPENROUTER_MODEL: is empty; name a model, such as google/gemini-2.5-flash"))
	}
	if r.DefaultCallback == "" {
		errs = append(errs, errors.New("RESPONSE_QUEUE: is empty; name a subject, such as gemini.responses"))
	}
	if r.MaxBytes < 0 {
		errs = append(errs, fmt.Errorf("REQUEST_MAX_BYTES: is %d; give a number of bytes, or 0 for no limit", r.MaxBytes))
	}
	return errors.Join(errs...)
}

// ModelName returns OpenRouter's full name of a model. Existing backends send
// bare Gemini names (gemini-2.5-flash), which lack OpenRouter's google/ prefix.
func ModelName(name string) string {
	model, _, _ := strings.Cut(name, presetMark)
	if strings.HasPrefix(model, "gemini-") && !strings.Contains(model, "/") {
		return "google/" + name
	}
	return name
}

// AllowsModel reports whether a request may name the model, in either form
// ModelName knows. The suffix :online turns OpenRouter's web plugin on, so it
// needs the plugin "web" among Plugins as well; :nitro asks for the tier "priority"
// and needs it among Tiers.
func (r Rules) AllowsModel(name string) bool {
	return r.matchesModel(ModelName(name)) && r.tenantMayName(ModelName(name)) && (!hasSuffix(name, "online") || r.allowsPlugin("web")) &&
		(!hasSuffix(name, "nitro") || r.allowsTier(tierPriority))
}

// Of returns the rules for the requests of a tenant: with its models, and, if it is
// isolated, with its own callback in the place of all others.
func (r Rules) Of(tenant string, isolated bool, models []string) Rules {
	r.Tenant, r.TenantModels = tenant, models
	if isolated {
		r.DefaultCallback, r.Isolated, r.own = r.Names.Of(tenant).ResponseQueue, nil, true
		r.Callbacks = []string{r.DefaultCallback}
	}
	return r
}

// callback returns where the result of a request goes that names a callback; false if it
// may not name that one. An isolated tenant's backend may name RESPONSE_QUEUE, which is
// its own callback as it sees it.
func (r Rules) callback(name string) (string, bool) {
	if r.own && name == r.Names.ResponseQueue {
		return r.DefaultCallback, true
	}
	if !slices.Contains(r.Callbacks, name) || r.Isolated != nil && r.Isolated(r.Names.IsolatedBy(name)) {
		return "", false
	}
	return name, true
}

// presetMark begins the name of a preset: @preset/x alone, or after a model's.
const presetMark = "@preset/"

// matchesModel wants a model and a preset behind it to match on their own: the
// preset may put another model in its place.
func (r Rules) matchesModel(name string) bool { return matchesModel(r.Models, name) }

// tenantMayName reports whether the model is one of the tenant's.
func (r Rules) tenantMayName(name string) bool {
	return len(r.TenantModels) == 0 || matchesModel(r.TenantModels, name)
}

func matchesModel(patterns []string, name string) bool {
	model, preset, both := strings.Cut(name, presetMark)
	if both && model != "" {
		return matches(patterns, model) && matches(patterns, presetMark+preset)
	}
	return matches(patterns, name)
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		// A bad pattern matches nothing; Validate reports it.
		matched, err := path.Match(pattern, name)
		return err == nil && matched
	})
}

func (r Rules) allowsPlugin(id string) bool { return slices.Contains(r.Plugins, id) }

// hasSuffix checks every suffix of a model: several can follow each other, and a
// preset can come between them.
func hasSuffix(model, want string) bool {
	_, suffixes, _ := strings.Cut(model, ":")
	for suffix := range strings.SplitSeq(suffixes, ":") {
		suffix, _, _ = strings.Cut(suffix, "@")
		if strings.EqualFold(suffix, want) {
			return true
		}
	}
	return false
}
