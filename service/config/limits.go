package config

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// MaxPerMinute is the largest limit of calls or tokens a minute.
const MaxPerMinute = 1_000_000_000

// Scopes of KEYS_LIMIT_SCOPE.
const (
	scopeFleet   = "fleet"
	scopeProcess = "process"
)

// ModelLimit is a limit of each model whose name matches a glob.
type ModelLimit struct {
	Models    string
	PerMinute int64
}

// String is the entry of the list.
func (l ModelLimit) String() string { return l.Models + "=" + strconv.FormatInt(l.PerMinute, 10) }

// ModelLimits are limits a minute by model, such as google/gemini-2.5-flash=600,google/*=1000:
// the first glob that matches counts.
type ModelLimits []ModelLimit

// UnmarshalText reads them; cleanenv and YAML both call it.
func (l *ModelLimits) UnmarshalText(text []byte) error {
	*l = nil
	for entry := range strings.SplitSeq(string(text), ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		models, number, _ := strings.Cut(entry, "=")
		models = strings.TrimSpace(models)
		perMinute, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		_, bad := path.Match(models, "")
		if err != nil || perMinute < 0 || perMinute > MaxPerMinute || models == "" || bad != nil {
			return fmt.Errorf("%q is no limit: want models (a glob), = and a number from 1 to %d, or 0 for none, such as google/gemini-2.5-flash=600,google/*=1000", entry, MaxPerMinute)
		}
		*l = append(*l, ModelLimit{models, perMinute})
	}
	return nil
}

// Of returns the limit of a model; 0 if it has none.
func (l ModelLimits) Of(model string) int64 {
	for _, one := range l {
		if ok, err := path.Match(one.Models, model); ok && err == nil {
			return one.PerMinute
		}
	}
	return 0
}

// KeysShared reports whether the limits of the keys hold for all workers together.
func (o OpenRouter) KeysShared() bool { return strings.ToLower(o.KeysLimitScope) != scopeProcess }

// CountsLimits reports whether there is a limit that holds for all workers together.
func (o OpenRouter) CountsLimits() bool {
	keys := o.KeysShared() && o.KeysMaxPerMinute > 0 || o.KeysMaxTokensPerMinute > 0
	return keys || len(o.ModelsMaxPerMinute) > 0 || len(o.ModelsMaxTokensPerMinute) > 0
}

// checkLimits checks the limits of calls and tokens.
func (c *Config) checkLimits() []error {
	problems := []error{
		between("KEYS_MAX_PER_MINUTE", c.KeysMaxPerMinute, 0, 1_000_000),
		between("KEYS_MAX_TOKENS_PER_MINUTE", c.KeysMaxTokensPerMinute, 0, MaxPerMinute),
		oneOf("KEYS_LIMIT_SCOPE", strings.ToLower(c.KeysLimitScope), scopeFleet, scopeProcess),
	}
	if c.KeysMaxTokensPerMinute > 0 && !c.KeysShared() {
		problems = append(problems, fmt.Errorf("KEYS_MAX_TOKENS_PER_MINUTE=%d: tokens are counted for all workers together: leave KEYS_LIMIT_SCOPE at %s", c.KeysMaxTokensPerMinute, scopeFleet))
	}
	return problems
}
