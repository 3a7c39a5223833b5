package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Setting is one variable as people see it.
type Setting struct {
	Name    string   // the variable
	Older   []string // names that still work
	Default string
	Meaning string
	Value   string // in force, secrets masked
}

// Settings lists every variable in the order of Config.
func (c *Config) Settings() []Setting {
	var list []Setting
	for _, f := range c.fields() {
		names := f.names()
		list = append(list, Setting{
			Name: names[0], Older: names[1:],
			Default: f.tag.Get("env-default"), Meaning: f.tag.Get("env-description"),
			Value: f.shownValue(),
		})
	}
	return list
}

func (f field) shownValue() string {
	if f.value.Kind() != reflect.Slice {
		return f.shown(fmt.Sprint(f.value.Interface()))
	}
	var parts []string
	for i := range f.value.Len() {
		parts = append(parts, f.shown(fmt.Sprint(f.value.Index(i).Interface())))
	}
	return strings.Join(parts, ",")
}

// shown is a value of the field as it may be printed.
func (f field) shown(text string) string {
	switch f.tag.Get("secret") {
	case "true":
		return mask(text)
	case "url":
		return MaskURL(text)
	}
	return text
}

// mask keeps the last four characters of a long secret and nothing of a short
// one.
func mask(secret string) string {
	switch {
	case secret == "":
		return ""
	case len(secret) < 16:
		return "****"
	}
	return "****" + secret[len(secret)-4:]
}

// Markdown is the table of all settings, for the documentation.
func (c *Config) Markdown() string {
	var b strings.Builder
	b.WriteString("| variable | default | meaning |\n|---|---|---|\n")
	for _, s := range c.Settings() {
		name := "`" + s.Name + "`"
		if len(s.Older) > 0 {
			name += " (older: `" + strings.Join(s.Older, "`, `") + "`)"
		}
		def := s.Default
		if def != "" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, def, strings.ReplaceAll(s.Meaning, "|", "\\|"))
	}
	return b.String()
}
