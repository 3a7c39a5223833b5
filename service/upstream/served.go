package upstream

import "strings"

// substituted returns the model that was asked for, if another one answered.
func (c *call) substituted() string {
	if asked := c.models()[0]; c.request.Model != asked || !sameModel(asked, c.answer.Model) {
		return asked
	}
	return ""
}

// sameModel reports whether a model that answered is the one that was asked for, as
// far as its name tells. OpenRouter answers with a dated name for some models, and
// without the suffixes that choose endpoints (:nitro). What an alias (~google/…), a
// preset (@preset/…) or a router (openrouter/auto) stands for is what was asked for.
// A name that is not known says nothing.
func sameModel(asked, served string) bool {
	if served == "" || strings.HasPrefix(asked, "~") || strings.HasPrefix(asked, "@") || strings.HasPrefix(asked, "openrouter/") {
		return true
	}
	asked, _, _ = strings.Cut(asked, "@")
	asked, _, _ = strings.Cut(asked, ":")
	served, _, _ = strings.Cut(served, ":")
	return asked == served || asked == undated(served) || undated(asked) == served
}

// undated is a model's name without the date at its end: -20260721.
func undated(name string) string {
	const date = "-20060102"
	at := len(name) - len(date)
	if at <= 0 || name[at] != '-' || strings.Trim(name[at+1:], "0123456789") != "" {
		return name
	}
	return name[:at]
}
