package service

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/ilyakaznacheev/cleanenv"
	"gopkg.in/yaml.v3"
)

// ErrConfig is what every error of Load and of Config's checks is: something a
// person has to mend before the service can start. errors.Is finds it.
var ErrConfig = errors.New("bad configuration")

// Load returns the defaults, overlaid by the YAML file at path ("" = none),
// overlaid by the environment. A variable that is set but empty counts as not
// set, as Compose files produce it. The warnings name deprecated variables in
// use. The error holds every mistake at once and is an ErrConfig.
func Load(path string) (c Config, warnings []string, err error) {
	var mistakes []error
	for _, f := range fields(&c) {
		f.setDefault()
	}
	if path != "" {
		mistakes = append(mistakes, loadFile(path, &c))
	}
	for _, f := range fields(&c) {
		name, err := f.setFromEnvironment()
		if note := deprecation(name); note != "" {
			warnings = append(warnings, note)
		}
		mistakes = append(mistakes, err)
	}
	mistakes = append(mistakes, c.readSecretFiles(), c.Check())
	if err := errors.Join(mistakes...); err != nil {
		return c, warnings, fmt.Errorf("%w:\n%w", ErrConfig, err)
	}
	return c, warnings, nil
}

func deprecation(name string) string {
	now := map[string]string{
		"GEMINI_API_KEYS":   "OPENROUTER_API_KEYS",
		"GEMINI_MODEL_TEXT": "OPENROUTER_MODEL",
	}[name]
	if now == "" {
		return ""
	}
	return fmt.Sprintf("%s is deprecated and was used because %s is not set: rename it", name, now)
}

func loadFile(path string, c *Config) error {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	decoder := yaml.NewDecoder(f)
	decoder.KnownFields(true) // a misspelt key must not be ignored silently
	if err := decoder.Decode(c); err != nil {
		return fmt.Errorf("--config %s: %w", path, err)
	}
	return nil
}

// field is one setting: its place in Config and its tags.
type field struct {
	value reflect.Value
	tag   reflect.StructTag
}

// fields lists the settings in the order of the source, the groups flattened.
func fields(c *Config) []field {
	var all []field
	for _, group := range reflect.ValueOf(c).Elem().Fields() {
		for setting, value := range group.Fields() {
			all = append(all, field{value: value, tag: setting.Tag})
		}
	}
	return all
}

// names are the field's variables, the current one first.
func (f field) names() []string { return strings.Split(f.tag.Get("env"), ",") }

func (f field) setDefault() {
	if text, ok := f.tag.Lookup("env-default"); ok {
		if err := f.parse("GEMINI_CLIENT_NO_SUCH_VARIABLE", text); err != nil {
			panic(fmt.Sprintf("default of %s: %v", f.names()[0], err)) // a mistake in the source, found by any test
		}
	}
}

// setFromEnvironment takes the first of the field's variables that is not
// empty and returns its name.
func (f field) setFromEnvironment() (string, error) {
	for _, name := range f.names() {
		text := os.Getenv(name)
		if strings.TrimSpace(text) == "" {
			continue
		}
		if err := f.parse(name, ""); err != nil {
			return name, fmt.Errorf("%s=%s: %w", name, f.shown(text), f.explain(err))
		}
		return name, nil
	}
	return "", nil
}

// parse lets cleanenv read one variable into a struct of this field alone:
// cleanenv stops at the first mistake, and we report all of them.
func (f field) parse(name, fallback string) error {
	tag := fmt.Sprintf(`env:%q`, name)
	if fallback != "" {
		tag += fmt.Sprintf(` env-default:%q`, fallback)
	}
	one := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "Value", Type: f.value.Type(), Tag: reflect.StructTag(tag)}}))
	if err := cleanenv.ReadEnv(one.Interface()); err != nil {
		return err
	}
	f.value.Set(one.Elem().Field(0))
	trim(f.value)
	return nil
}

// trim drops the spaces around list entries and empty entries ("a, b,").
func trim(v reflect.Value) {
	list, ok := reflect.TypeAssert[[]string](v)
	if !ok {
		return
	}
	var kept []string
	for _, entry := range list {
		if entry = strings.TrimSpace(entry); entry != "" {
			kept = append(kept, entry)
		}
	}
	v.Set(reflect.ValueOf(kept))
}

// explain turns a parser's error into what the value should look like.
func (f field) explain(err error) error {
	switch f.value.Interface().(type) {
	case time.Duration:
		return errors.New("want a time with its unit, such as 30s, 10m or 24h")
	case int:
		return errors.New("want a whole number")
	case []int:
		return errors.New("want whole numbers separated by commas")
	case bool:
		return errors.New("want true or false")
	}
	return err
}

// shown is the value as it may be printed.
func (f field) shown(text string) string {
	switch f.tag.Get("secret") {
	case "true":
		return mask(text)
	case "url":
		return maskURL(text)
	}
	return text
}

// readSecretFiles takes keys and password from the files that hold them.
func (c *Config) readSecretFiles() error {
	var mistakes []error
	if c.APIKeysFile != "" {
		keys, err := ReadKeys(c.APIKeysFile)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("OPENROUTER_API_KEYS_FILE: %w", err))
		}
		c.APIKeys = keys
	}
	if c.PasswordFile != "" {
		password, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("NATS_PASSWORD_FILE: %w", err))
		}
		c.Password = trimSecret(password)
	}
	return errors.Join(mistakes...)
}

// ReadKeys returns the keys of a file, one a line or separated by commas; blank
// lines and lines that begin with # are skipped.
func ReadKeys(path string) ([]string, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	var keys []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for key := range strings.SplitSeq(line, ",") {
			if key = strings.TrimSpace(key); key != "" {
				keys = append(keys, key)
			}
		}
	}
	return keys, nil
}

// trimSecret drops the newline that editors leave at a file's end.
func trimSecret(text []byte) string { return strings.TrimSpace(string(text)) }
