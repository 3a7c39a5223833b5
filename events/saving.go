package events

import (
	"slices"
	"strings"
	"unicode/utf8"

	"gemini-client/events/jsonscan"
)

// The tiers that a model's suffix or the name of a provider's endpoint can ask for.
const (
	tierFlex     = "flex"
	tierPriority = "priority"
)

// freeTiers are the values of service_tier that never change the price.
func freeTiers() []string { return []string{"auto", "default"} }

func (r Rules) allowsTier(tier string) bool {
	return slices.Contains(freeTiers(), tier) || slices.Contains(r.Tiers, tier)
}

// saving reads the fields that say how much an answer may cost.
func (d *decoder) saving() {
	d.request.ServiceTierFallback = d.top.boolean("service_tier_fallback")
	d.request.CacheTTL = d.top.integerOrNull("cache_ttl", 0, MaxCacheTTL)
}

// tiers checks what asks for another price than the default one: service_tier, the
// endpoints of a tier among the providers, and a preset.
func (d *decoder) tiers(f fields) {
	if value, ok := f.getOrNull("service_tier"); ok {
		if jsonscan.KindOf(value) != jsonscan.String {
			d.broken.add(f.at("service_tier"), "is %s; give a string or null", show(value))
		} else {
			d.tier(f.at("service_tier"), jsonscan.Text(value), jsonscan.Text(value))
		}
	}
	if value, ok := f.getOrNull("provider"); ok && jsonscan.KindOf(value) == jsonscan.Object {
		provider := readFields(value, f.at("provider")+".", &d.broken, "order", "only")
		d.endpoints(provider, "order")
		d.endpoints(provider, "only")
	}
	d.preset(f)
}

// endpoints checks a list of providers. The last part of google-vertex/flex names
// the tier; google-vertex/us-east5 names a region.
func (d *decoder) endpoints(provider fields, name string) {
	for i, slug := range provider.list(name, MaxListed) {
		if tier := slug[strings.LastIndex(slug, "/")+1:]; tier != slug && (tier == tierFlex || tier == tierPriority) {
			d.tier(place(provider.at(name), i), slug, tier)
		}
	}
}

func (d *decoder) tier(path, value, tier string) {
	if !d.rules.allowsTier(tier) {
		d.broken.add(path, "is %s, a price tier that is not allowed; give one of %s, or have PRICE_TIERS_ALLOW allow it",
			quote(value), quoteAll(append(freeTiers(), d.rules.Tiers...)))
	}
}

// preset checks the preset that a field names, which can change model and price.
func (d *decoder) preset(f fields) {
	value, ok := f.getOrNull("preset")
	if !ok {
		return
	}
	if jsonscan.KindOf(value) != jsonscan.String {
		d.broken.add(f.at("preset"), "is %s; give a string or null", show(value))
		return
	}
	d.model(f.at("preset"), presetMark+strings.TrimPrefix(jsonscan.Text(value), presetMark))
}

// labels checks what OpenRouter keeps beside a call against its limits. No text
// shows these values.
func (d *decoder) labels(f fields) {
	d.label(f, "user", MaxUser)
	d.label(f, "session_id", MaxSessionID)
	if value, ok := f.getOrNull("trace"); ok && jsonscan.KindOf(value) != jsonscan.Object {
		d.broken.add(f.at("trace"), "is %s; give an object or null", jsonscan.KindOf(value))
	}
	value, ok := f.getOrNull("metadata")
	switch {
	case !ok:
	case jsonscan.KindOf(value) != jsonscan.Object:
		d.broken.add(f.at("metadata"), "is %s; give an object of strings or null", jsonscan.KindOf(value))
	case d.broken.atMost(MaxPairs, f.at("metadata"), value, "pairs"):
		for key, member := range jsonscan.Members(value) {
			d.pair(f.at("metadata"), string(key), member)
		}
	}
}

func (d *decoder) label(f fields, name string, most int) {
	if s, ok := f.secret(name); ok {
		d.short(f.at(name), s, most)
	}
}

func (d *decoder) pair(path, key string, value []byte) {
	d.short("a key of "+path, key, MaxPairKey)
	path += "[" + quote(key) + "]"
	if jsonscan.KindOf(value) != jsonscan.String {
		d.broken.add(path, "is %s; give a string", jsonscan.KindOf(value))
		return
	}
	d.short(path, jsonscan.Text(value), MaxPairValue)
}

func (d *decoder) short(path, s string, most int) {
	if n := utf8.RuneCountInString(s); n > most {
		d.broken.add(path, "has %d characters; give at most %d", n, most)
	}
}
