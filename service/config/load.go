package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/ilyakaznacheev/cleanenv"
	"go.yaml.in/yaml/v3"
)

// ErrInvalid is what every error of Load and of Config's checks is: something
// that a person has to correct before the service can start. errors.Is finds it.
var ErrInvalid = errors.New("bad configuration")

// Load returns the defaults, overlaid by the YAML file at path ("" = none), overlaid by
// the context of the nats CLI with this name ("" = what NATS_CONTEXT names), overlaid by
// the environment. A variable that is set but blank counts as not
// set, and is removed from the environment. The warnings name deprecated variables
// in use. The error holds every problem at once and is an ErrInvalid; the Config is
// then filled as far as possible.
func Load(path, context string) (c Config, warnings []string, err error) {
	var problems []error
	if err := cleanenv.ReadEnv(&c); err != nil {
		problems = c.readEach()
	}
	if path != "" {
		problems = append(problems, c.readFile(path))
	}
	if context != "" {
		c.Context = context
	}
	c.withoutForbiddenDefault()
	problems = append(problems, c.readContext(), c.readSecretFiles(), c.Check())
	if err := errors.Join(problems...); err != nil {
		return c, c.deprecations(), fmt.Errorf("%w:\n%w", ErrInvalid, err)
	}
	return c, c.deprecations(), nil
}

// Update implements cleanenv.Updater: ReadEnv calls it before it looks at the
// variables. It removes those that are blank from the environment. Compose
// files set blank variables for values that were not given, and cleanenv would
// take them for values.
func (c *Config) Update() error {
	for _, f := range c.fields() {
		for _, name := range f.names() {
			if value, set := os.LookupEnv(name); set && strings.TrimSpace(value) == "" {
				if err := os.Unsetenv(name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// readFile takes the settings of a YAML file that no variable sets.
// cleanenv.ReadConfig is not used for it: it ignores unknown keys, and replaces
// a file's zero values (nats_provision: false) by the defaults.
func (c *Config) readFile(path string) error {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	var file map[string]yaml.Node
	if err := yaml.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("--config %s: %w", path, err)
	}
	var problems []error
	for _, f := range c.fields() {
		node, there := file[f.key()]
		delete(file, f.key())
		if !there || f.variable() != "" {
			continue
		}
		if err := node.Decode(f.value.Addr().Interface()); err != nil {
			problems = append(problems, fmt.Errorf("--config %s: %s: %w", path, f.key(), f.explain(f.shown(node.Value), err)))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(file)) {
		problems = append(problems, fmt.Errorf("--config %s: line %d: there is no setting %s", path, file[key].Line, key))
	}
	return errors.Join(problems...)
}

// withoutForbiddenDefault drops the fallback that nobody asked for where MODELS_ALLOW
// does not let it answer: a default is no mistake of the operator's.
func (c *Config) withoutForbiddenDefault() {
	for _, f := range c.fields() {
		def := f.tag.Get("env-default")
		if f.key() == "openrouter_fallback_models" && f.variable() == "" && f.shownValue() == def && !matches(c.ModelsAllow, def) {
			c.FallbackModels = nil
		}
	}
}

// deprecations returns a warning for each deprecated variable that is in use.
func (c *Config) deprecations() (warnings []string) {
	for _, f := range c.fields() {
		switch old := f.variable(); old {
		case "GEMINI_API_KEYS", "GEMINI_MODEL_TEXT":
			warnings = append(warnings, fmt.Sprintf("%s is deprecated and was used because %s is not set: rename it", old, f.names()[0]))
		}
	}
	return warnings
}

// readSecretFiles takes keys and password from the files that hold them.
func (c *Config) readSecretFiles() error {
	var problems []error
	if c.APIKeysFile != "" {
		keys, err := ReadKeys(c.APIKeysFile)
		if err != nil {
			problems = append(problems, fmt.Errorf("OPENROUTER_API_KEYS_FILE: %w", err))
		}
		c.APIKeys = keys
	}
	if c.PasswordFile != "" {
		password, err := readPassword(c.PasswordFile)
		if err != nil {
			problems = append(problems, fmt.Errorf("NATS_PASSWORD_FILE: %w", err))
		}
		c.Password = password
	}
	return errors.Join(problems...)
}

// CurrentPassword returns the password of the NATS user, read again from its
// file if there is one. It is for each reconnect, so that a rotated password is
// taken up without a restart.
func (n NATS) CurrentPassword() string {
	if n.PasswordFile != "" {
		if password, err := readPassword(n.PasswordFile); err == nil {
			return password
		}
	}
	return n.Password
}

// readPassword drops the newline that editors leave at a file's end.
func readPassword(path string) (string, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	return strings.TrimSpace(string(text)), err
}
