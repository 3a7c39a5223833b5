package events_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
)

// What a request says of its tier, and what is made of it.
func TestTier(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fields       []string
		wantTier     string
		wantFallback bool
	}{
		"none":                     {nil, "", false},
		"null":                     {[]string{`"tier":null`, `"tier_fallback":null`}, "", false},
		"standard":                 {[]string{`"tier":"standard"`, `"tier_fallback":true`}, "", false},
		"batch":                    {[]string{`"tier":"batch"`}, "batch", true},
		"batch, a null fallback":   {[]string{`"tier":"batch"`, `"tier_fallback":null`}, "batch", true},
		"batch, with a fallback":   {[]string{`"tier":"batch"`, `"tier_fallback":true`}, "batch", true},
		"batch, without one":       {[]string{`"tier":"batch"`, `"tier_fallback":false`}, "batch", false},
		"a fallback without batch": {[]string{`"tier_fallback":true`}, "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := decode(t, asked(tt.fields...))
			if got.Tier != tt.wantTier || got.TierFallback != tt.wantFallback {
				t.Errorf("got tier %q, fallback %v; want %q, %v", got.Tier, got.TierFallback, tt.wantTier, tt.wantFallback)
			}
		})
	}
}

func TestTierBroken(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ field, want string }{
		"another tier":     {`"tier":"flex"`, `tier: is "flex"; give "batch" or "standard"`},
		"no text":          {`"tier":1`, `tier: is 1; give "batch" or "standard"`},
		"a fallback in it": {`"tier_fallback":"no"`, `tier_fallback: is the string "no"; give true or false`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, got := decodeFailure(t, rules(), asked(tt.field)); got.Message != tt.want {
				t.Errorf("got %q\nwant %q", got.Message, tt.want)
			}
		})
	}
}

// What the Batch API does not take is known before it is asked.
func TestNotForBatch(t *testing.T) {
	t.Parallel()
	soon := `"deadline":"` + now().Add(23*time.Hour).Format(time.RFC3339) + `"`
	late := `"deadline":"` + now().Add(25*time.Hour).Format(time.RFC3339) + `"`
	ref, _ := json.Marshal(bodyRef("x")) // of strings and a number
	reference := `"body_ref":` + string(ref)
	image := func(url string) string {
		return `"messages":[{"role":"user","content":[{"type":"text","text":"What?"},{"type":"image_url","image_url":` + url + `}]}]`
	}
	tests := map[string]struct {
		field string
		want  string // a part of the reason; "" if there is none
	}{
		"a prompt":              {`"top_p":1`, ""},
		"a late deadline":       {late, ""},
		"a deadline":            {soon, "24 hours"},
		"deltas":                {`"stream":true`, "stream"},
		"a prompt elsewhere":    {reference, "body_ref"},
		"online":                {`"model":"google/gemini-2.5-flash:online"`, ":online"},
		"a plugin":              {`"openrouter":{"plugins":[{"id":"web"}]}`, "plugins"},
		"no plugins":            {`"openrouter":{"plugins":[]}`, ""},
		"a server tool":         {`"openrouter":{"tools":[{"type":"openrouter:web_search"}]}`, "server tools"},
		"a function":            {`"openrouter":{"tools":[{"type":"function"}]}`, ""},
		"a public image":        {image(`{"url":"https://example.com/a.png"}`), ""},
		"an image in the body":  {image(`{"url":"DATA:image/png;base64,AAAA"}`), "data:"},
		"the same, as a string": {image(`"data:image/png;base64,AAAA"`), "data:"},
		"audio":                 {`"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}]`, "input_audio"},
		"a file":                {`"messages":[{"role":"user","content":[{"type":"file","file":{}}]}]`, `"file"`},
		"plain texts":           {`"messages":[{"role":"user","content":"data:image/png;base64,AAAA"}]`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rules()
			r.Plugins = []string{"web", "openrouter:web_search"}
			body := asked(tt.field)
			if strings.Contains(tt.field, "messages") || strings.Contains(tt.field, "body_ref") {
				body = `{"request_id":"` + someID + `",` + tt.field + `}`
			}
			request, err := r.Decode([]byte(body), now())
			if err != nil {
				t.Fatal(err)
			}
			got := request.NotForBatch(now())
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("%s\n got %q\nwant %q", body, got, tt.want)
			}
		})
	}
}

// The header says the same when it is read again; whatever else is in it says nothing.
func TestBatchState(t *testing.T) {
	t.Parallel()
	for _, want := range []events.BatchState{{}, {Tried: true}, {Group: "0123abcd", Since: time.Unix(1_800_000_000, 0).UTC()}} {
		if got := events.Batch(events.Header{events.HeaderBatch: {want.String()}}); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	for _, value := range []string{"x", "a b", "a.b 1", " 1", "tried 1x"} {
		if got := events.Batch(events.Header{events.HeaderBatch: {value}}); got != (events.BatchState{}) {
			t.Errorf("%q: got %v, want nothing", value, got)
		}
	}
}
