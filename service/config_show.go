package service

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"

	"gemini-client/events"
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
	for _, f := range fields(c) {
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

// maskURL hides user and password of each URL in a list.
func maskURL(list string) string {
	parts := strings.Split(list, ",")
	for i, part := range parts {
		u, err := url.Parse(strings.TrimSpace(part))
		switch {
		case err != nil && strings.Contains(part, "@"):
			parts[i] = "****" + part[strings.LastIndex(part, "@"):]
		case err == nil && u.User != nil:
			u.User = url.User("****")
			parts[i] = strings.Replace(u.String(), "%2A%2A%2A%2A", "****", 1)
		}
	}
	return strings.Join(parts, ",")
}

// Names returns the functions that make subjects and stream names.
func (c *Config) Names() events.Names {
	return events.Names{RequestQueue: c.RequestQueue, ResponseQueue: c.ResponseQueue, SubjectPrefix: c.SubjectPrefix, StreamPrefix: c.StreamPrefix}
}

// callbacks are the values that callback_queue may have.
func (c *Config) callbacks() []string {
	if len(c.CallbackAllow) == 0 {
		return []string{c.ResponseQueue}
	}
	return c.CallbackAllow
}

// rules are the decoder's rules under this configuration.
func (c *Config) rules(maxBytes int) events.Rules {
	return events.Rules{
		DefaultModel: events.ModelName(c.Model), DefaultCallback: c.ResponseQueue,
		Callbacks: c.callbacks(), Models: c.ModelsAllow, Plugins: c.PluginsAllow, MaxBytes: maxBytes,
	}
}

// Markdown is the table of all settings in README.
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
