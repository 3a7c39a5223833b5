package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// RequireKeys returns an ErrInvalid that says how to get a key if there is
// none. It is apart from Check because provision, ask and config need none.
func (c *Config) RequireKeys() error {
	if len(c.APIKeys) > 0 {
		return nil
	}
	if c.APIKeysFile != "" {
		return fmt.Errorf("%w: OPENROUTER_API_KEYS_FILE: %s holds no key: write one into it (one a line); keys are made at https://openrouter.ai/settings/keys", ErrInvalid, c.APIKeysFile)
	}
	return fmt.Errorf("%w: OPENROUTER_API_KEYS is not set: make a key at https://openrouter.ai/settings/keys and set OPENROUTER_API_KEYS=sk-or-v1-... (or OPENROUTER_API_KEYS_FILE to a file that holds it); `make demo` needs none", ErrInvalid)
}

// keysVariable is the name under which the keys were given.
func (c *Config) keysVariable() string {
	if c.APIKeysFile != "" {
		return "OPENROUTER_API_KEYS_FILE"
	}
	for _, f := range c.fields() {
		if f.value.Addr().Interface() == &c.APIKeys && f.variable() != "" {
			return f.variable()
		}
	}
	return "OPENROUTER_API_KEYS"
}

// checkKey refuses what is certainly not OpenRouter's: a Google key must not
// travel there. The text never shows the key.
func checkKey(variable string, i int, key string) error {
	switch {
	case variable == "GEMINI_API_KEYS" && !strings.HasPrefix(key, "sk-or-"):
		return fmt.Errorf("%s: entry %d is not an OpenRouter key (sk-or-...), and Google's keys are not sent to OpenRouter: set OPENROUTER_API_KEYS", variable, i+1)
	case strings.HasPrefix(key, "AIza"):
		return fmt.Errorf("%s: entry %d is a Google key: make one at https://openrouter.ai/settings/keys", variable, i+1)
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("%s: entry %d holds a space or a character that no key has", variable, i+1)
	}
	return nil
}

// isRealKey tells OpenRouter's own keys from those of a simulator.
func isRealKey(key string) bool { return strings.HasPrefix(key, "sk-or-v1-") }

// ReadKeys returns the keys of a file, one a line or separated by commas; blank
// lines and lines that begin with # are skipped. The error is that of reading.
func ReadKeys(path string) ([]string, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	var keys List
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		var onLine List
		_ = onLine.SetValue(line) // it has no error
		keys = append(keys, onLine...)
	}
	return keys, nil
}

// CurrentKeys returns the keys of APIKeysFile as they are now, or why the file
// cannot be taken up: see ReadUsableKeys and Endpoint.
func (o OpenRouter) CurrentKeys() ([]string, error) {
	keys, err := ReadUsableKeys(o.APIKeysFile)
	if err != nil {
		return nil, err
	}
	o.APIKeys = keys
	if _, err := o.Endpoint(); err != nil {
		return nil, err
	}
	return keys, nil
}

// ReadUsableKeys returns the keys of a file, or why the file cannot be used: it
// cannot be read, or holds no key or a wrong one.
func ReadUsableKeys(path string) ([]string, error) {
	keys, err := ReadKeys(path)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no key")
	}
	for i, key := range keys {
		if err := checkKey("OPENROUTER_API_KEYS_FILE", i, key); err != nil {
			return nil, err
		}
	}
	return keys, nil
}
