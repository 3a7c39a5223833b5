package events_test

import (
	"strings"
	"testing"

	"gemini-client/events"
)

func TestRulesValidate(t *testing.T) {
	t.Parallel()
	if err := rules().Validate(); err != nil {
		t.Errorf("Validate of valid rules\n got %v\nwant nil", err)
	}
	broken := events.Rules{Models: []string{"google/[", "google/*", ""}, MaxBytes: -1}
	want := []string{
		`MODELS_ALLOW: entry "google/[" is not a pattern`, `MODELS_ALLOW: entry "" is not a pattern`,
		"OPENROUTER_MODEL: is empty", "RESPONSE_QUEUE: is empty", "REQUEST_MAX_BYTES: is -1",
	}
	checkJoined(t, "Validate of broken rules", broken.Validate(), want)
	checkJoined(t, "Validate of no rules", events.Rules{}.Validate(),
		[]string{"MODELS_ALLOW: has no entry", "OPENROUTER_MODEL: is empty", "RESPONSE_QUEUE: is empty"})
}

// checkJoined wants one line for each problem, in order, and no more.
func checkJoined(t *testing.T, what string, err error, want []string) {
	t.Helper()
	var got []string
	if err != nil {
		got = strings.Split(err.Error(), "\n")
	}
	same := len(got) == len(want)
	for i := 0; same && i < len(want); i++ {
		same = strings.HasPrefix(got[i], want[i])
	}
	if !same {
		t.Errorf("%s\n got %q\nwant lines that begin %q", what, got, want)
	}
}

func TestModelName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"gemini-2.5-flash":        "google/gemini-2.5-flash",
		"gemini-2.5-flash:nitro":  "google/gemini-2.5-flash:nitro",
		"google/gemini-2.5-flash": "google/gemini-2.5-flash",
		"gemini-x/y":              "gemini-x/y",
		"gemini-3-pro@preset/x":   "google/gemini-3-pro@preset/x",
		"@preset/gemini-x":        "@preset/gemini-x",
		"gemini":                  "gemini",
		"Gemini-2.5-flash":        "Gemini-2.5-flash",
		"":                        "",
	} {
		if got := events.ModelName(name); got != want {
			t.Errorf("ModelName(%q)\n got %q\nwant %q", name, got, want)
		}
	}
}

func TestAllowsModel(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		plugins []string
		model   string
		want    bool
	}{
		"full name":             {nil, "google/gemini-2.5-flash", true},
		"bare Gemini name":      {nil, "gemini-2.5-flash", true},
		"bare other name":       {nil, "gemma-3", false},
		"alias":                 {nil, "~google/gemini-flash-latest", true},
		"elsewhere":             {nil, "openai/gemini-2.5", false},
		"another case":          {nil, "Google/gemini-2.5-flash", false},
		"a slash more":          {nil, "google/gemini/x", false},
		"online":                {nil, "google/gemini-2.5-flash:online", false},
		"bare and online":       {nil, "gemini-2.5-flash:ONLINE", false},
		"online in the middle":  {nil, "gemini-2.5-flash:online:nitro", false},
		"online with web":       {[]string{"web"}, "gemini-2.5-flash:online", true},
		"elsewhere with web":    {[]string{"web"}, "openai/gpt-5:online", false},
		"another suffix":        {nil, "gemini-2.5-flash:floor", true},
		"online is in the name": {nil, "google/online", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rules()
			r.Plugins = tt.plugins
			r.Models = append([]string{"["}, r.Models...) // A bad pattern allows nothing and hides nothing.
			if got := r.AllowsModel(tt.model); got != tt.want {
				t.Errorf("AllowsModel(%q) with plugins %q\n got %v\nwant %v", tt.model, tt.plugins, got, tt.want)
			}
			_, err := r.Decode([]byte(asked(`"model":"`+tt.model+`"`)), now())
			if got := err == nil; got != tt.want {
				t.Errorf("Decode with model %q and plugins %q\n got error %v\nwant one: %v", tt.model, tt.plugins, err, !tt.want)
			}
		})
	}
}

// Server tools are allowed by their name or by their whole type.
func TestDecodeServerTools(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		plugins []string
		kind    string
		want    bool
	}{
		"own function":     {nil, "function", true},
		"not allowed":      {[]string{"web"}, "openrouter:web_search", false},
		"by name":          {[]string{"web_search"}, "openrouter:web_search", true},
		"by type":          {[]string{"openrouter:web_search"}, "openrouter:web_search", true},
		"in another case":  {nil, "OpenRouter:web_search", false},
		"empty name":       {nil, "openrouter:", false},
		"short of a colon": {nil, "openrouter", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rules()
			r.Plugins = tt.plugins
			_, err := r.Decode([]byte(asked(`"openrouter":{"tools":[{"type":"`+tt.kind+`"}]}`)), now())
			if got := err == nil; got != tt.want {
				t.Errorf("Decode with a tool of type %q and plugins %q\n got error %v\nwant one: %v", tt.kind, tt.plugins, err, !tt.want)
			}
		})
	}
}

// The default model is the operator's: it gets its full name, and the
// patterns for requesters do not apply to it.
func TestDecodeDefaults(t *testing.T) {
	t.Parallel()
	r := rules()
	r.DefaultModel, r.DefaultCallback = "gemini-9", "gemini.other"
	r.Models = nil
	request, err := r.Decode([]byte(asked()), now())
	if err != nil || request.Model != "google/gemini-9" || request.CallbackQueue != "gemini.other" {
		t.Errorf("Decode(%s)\n got model %q, callback %q, error %v\nwant google/gemini-9, gemini.other, nil",
			asked(), request.Model, request.CallbackQueue, err)
	}
}
