package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/ilyakaznacheev/cleanenv"
)

// field is one setting: its place in a Config and its tags.
type field struct {
	value reflect.Value
	tag   reflect.StructTag
}

// fields lists the settings in the order of the source, the groups flattened.
func (c *Config) fields() []field {
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

// key is the field's name in a YAML file.
func (f field) key() string { return f.tag.Get("yaml") }

// variable is the name of the variable that sets the field, "" if none does.
func (f field) variable() string {
	for _, name := range f.names() {
		if _, set := os.LookupEnv(name); set {
			return name
		}
	}
	return ""
}

// readEach reads each variable on its own and returns every problem; a setting
// whose variable has one keeps its default. cleanenv.ReadEnv returns at the first
// value that it cannot parse and leaves the rest unread. Neither of its hooks
// helps: an Updater runs before anything is read, and a Setter is not called for
// int, bool and time.Duration.
func (c *Config) readEach() (problems []error) {
	for _, f := range c.fields() {
		if err := f.read(f.tag); err != nil {
			name := f.variable()
			problems = append(problems, fmt.Errorf("%s=%w", name, f.explain(f.shown(os.Getenv(name)), err)))
			_ = f.read(reflect.StructTag(fmt.Sprintf("env-default:%q", f.tag.Get("env-default")))) // parsed by every start without that variable
		}
	}
	return problems
}

// read lets cleanenv read the field by a tag, as the only field of a struct.
func (f field) read(tag reflect.StructTag) error {
	one := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "Value", Type: f.value.Type(), Tag: tag}}))
	err := cleanenv.ReadEnv(one.Interface())
	if err == nil {
		f.value.Set(one.Elem().Field(0))
	}
	return err
}

// explain says of a text that cannot be parsed what it should look like.
func (f field) explain(text string, err error) error {
	want := err
	switch f.value.Interface().(type) {
	case time.Duration:
		want = errors.New("want a time with its unit, such as 30s, 10m or 24h")
	case int:
		want = errors.New("want a whole number")
	case []int:
		want = errors.New("want whole numbers separated by commas")
	case bool:
		want = errors.New("want true or false")
	case Budget:
		want = errors.New("want USD a day, week or month, such as 5/day or 5/day,100/month")
	case CacheTTL:
		want = errors.New("want whole seconds with a unit, 1s to 24h, or off")
	case Size:
		want = errors.New("want bytes (1048576) or a size with its unit (512KiB, 1GiB)")
	}
	return fmt.Errorf("%s: %w", text, want)
}
