package upstream

import (
	"encoding/json"
	"strings"
	"testing"

	"gemini-client/events"
	"gemini-client/service/config"
)

// Objects lose their order and their spaces, and nothing else.
func TestSortKeys(t *testing.T) {
	t.Parallel()
	large := `{"b":"` + strings.Repeat("x", maxSorted) + `","a":1}`
	for value, want := range map[string]string{
		`{"b":1.50,"a":{"d":[ ],"c":{ }}}`:        `{"a":{"c":{},"d":[]},"b":1.50}`,
		` [ {"b":true,"a":null} , 1E+2 , "a b" ]`: `[{"a":null,"b":true},1E+2,"a b"]`,
		`{"b":"\u00fc <\ud83d>","a":"{ }"}`:       `{"a":"{ }","b":"\u00fc <\ud83d>"}`,
		`"text"`:                                  `"text"`,
		`-0`:                                      `-0`,
		`{`:                                       `{`,
		large:                                     large,
	} {
		if got := string(sortKeys(json.RawMessage(value))); got != want {
			t.Errorf("sortKeys(%.40s)\n got %.80s\nwant %.80s", value, got, want)
		}
	}
}

// A model writes an object in the order of its schema, so that order is kept. Without
// the cache every field is.
func TestWhatIsSorted(t *testing.T) {
	t.Parallel()
	u, _ := newTestCaller(t, func(c *config.Config) { c.Cache = 60e9 }, ok)
	const value = `{"z":1, "a":2}`
	for _, field := range []struct {
		name string
		off  bool
		want string
	}{
		{"provider", false, `{"a":2,"z":1}`},
		{"provider", true, value},
		{"response_format", false, value},
		{"tools", false, value},
	} {
		r := events.Request{Prompt: "Why?", OpenRouter: map[string]json.RawMessage{field.name: json.RawMessage(value)}}
		if field.off {
			r.CacheTTL = new(0)
		}
		chat := u.saving(&r, chatRequest(&r, nil))
		if got := string(chat.Extra[field.name]); got != field.want {
			t.Errorf("%s, cache off %v: got %s, want %s", field.name, field.off, got, field.want)
		}
		if string(r.OpenRouter[field.name]) != value {
			t.Errorf("%s: the event changed with the request made of it", field.name)
		}
	}
}
