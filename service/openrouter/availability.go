package openrouter

import (
	"cmp"
	"strings"
	"unicode/utf8"
)

// An availability says why no endpoint of a model took a request. Beside the first three fields it is for people: what it suggests is
// not done by itself.
type availability struct {
	Code       string `json:"code"`
	Retryable  *bool  `json:"retryable"`
	RetryAfter text   `json:"retry_after"`

	RequestedModels   []text `json:"requested_models"`
	AffectedProviders []text `json:"affected_providers"`
	ExcludedBy        []text `json:"excluded_by"`
	FallbackModels    []text `json:"fallback_models"`
	Constraint        struct {
		Field  text `json:"field"`
		Detail text `json:"detail"`
	} `json:"constraint"`
}

// availability returns the object from its documented place, else from the metadata, where one client has seen it; nil if there is none.
func (obj errorObject) availability() *availability {
	for _, a := range []*availability{obj.Availability, obj.Metadata.Availability} {
		if a != nil && a.Code != "" {
			return a
		}
	}
	return cmp.Or(obj.Availability, obj.Metadata.Availability)
}

const (
	maxHints = 240 // characters of what is added to a message
	maxNames = 5   // of one list in it
)

// hints are what an error tells people about its cause and the way out, the most useful first.
func (obj errorObject) hints() []string {
	var hints []string
	add := func(what string, values ...text) {
		if names := list(values); names != "" {
			hints = append(hints, what+names)
		}
	}
	if a := obj.availability(); a != nil {
		add("excluded by ", a.ExcludedBy...)
		if a.Constraint.Field != "" || a.Constraint.Detail != "" {
			add("constraint ", text(strings.Trim(string(a.Constraint.Field+": "+a.Constraint.Detail), ": ")))
		}
		add("OpenRouter suggests ", a.FallbackModels...)
		add("providers ", a.AffectedProviders...)
		add("asked for ", a.RequestedModels...)
	}
	add("resets at ", obj.Metadata.ResetsAt)
	return hints
}

// list joins names, up to maxNames of them.
func list(values []text) string {
	var names []string
	for _, value := range values {
		if value != "" {
			names = append(names, string(value))
		}
	}
	if len(names) > maxNames {
		names = append(names[:maxNames:maxNames], "…")
	}
	return strings.Join(names, ", ")
}

// withHints adds hints to a message, which gives way to them where both are too long.
func withHints(message, hints string) string {
	if hints == "" {
		return message
	}
	hints = " (" + shorten(hints, maxHints) + ")"
	return shorten(strings.TrimRight(message, ". "), maxMessage-utf8.RuneCountInString(hints)) + hints
}

// excluded are the names of what excluded endpoints.
func excluded(by []text) (names []string) {
	for _, name := range by {
		if name != "" {
			names = append(names, string(name))
		}
	}
	return names
}
