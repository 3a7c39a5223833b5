package openrouter_test

import (
	"encoding/json"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"gemini-client/service/openrouter"
)

// FuzzRequestBody: whatever a prompt holds, the body is JSON that holds it, and is as long as it was said to be.
func FuzzRequestBody(f *testing.F) {
	f.Add("hello", "", 1)
	f.Add("a\"b\\c\n\r\t\b\f\x00\x1f\x7f<&>\u2028é€🙂", "be brief", 70_000)
	f.Add("\xff\xc3", "\xed\xa0\x80", 300)
	f.Fuzz(func(t *testing.T, prompt, system string, times int) {
		prompt = strings.Repeat(prompt, 1+max(0, times)%100_000/(1+len(prompt)))
		var length int64
		var sent []byte
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			var err error
			length = r.ContentLength
			sent, err = io.ReadAll(r.Body)
			return nil, err
		})
		client := newClient(t, openrouter.Config{Transport: transport})
		_, err := client.Complete(t.Context(), testKey, &openrouter.Request{System: system, Prompt: prompt}, nil)
		if prompt == "" && system == "" {
			return
		}
		if int(length) != len(sent) {
			t.Fatalf("%d bytes were announced and %d sent (%v)", length, len(sent), err)
		}
		var got struct {
			Messages []openrouter.Message `json:"messages"`
		}
		if err := json.Unmarshal(sent, &got); err != nil {
			t.Fatalf("%q is not JSON: %v", sent, err)
		}
		for _, want := range []openrouter.Message{{Role: "system", Content: system}, {Role: "user", Content: prompt}} {
			if want.Content == "" {
				continue
			}
			want.Content = string([]rune(want.Content)) // what is not UTF-8 becomes U+FFFD
			if len(got.Messages) == 0 || got.Messages[0] != want {
				t.Fatalf("got %+.200q, want %+.200q first", got.Messages, want)
			}
			got.Messages = got.Messages[1:]
		}
	})
}

// What is large is sent from where it lies. Each of these was copied three to five times, and six times longer where a text is
// full of what HTML escapes.
func TestRequestIsNotCopied(t *testing.T) { //nolint:paralleltest // it measures the process
	const size = 4 << 20
	list := json.RawMessage(`[{"role":"user","content":"` + strings.Repeat("x", size) + `"}]`)
	tests := map[string]openrouter.Request{
		"prompt":              {Prompt: strings.Repeat("x", size)},
		"escapes":             {Prompt: strings.Repeat("<", size)},
		"messages":            {Messages: list},
		"system and messages": {System: "Be brief.", Messages: list},
		"extra":               {Prompt: "x", Extra: map[string]json.RawMessage{"tools": list}},
	}
	for name, request := range tests {
		sent := int64(0)
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			var err error
			sent, err = io.Copy(io.Discard, r.Body)
			return nil, err
		})
		client := newClient(t, openrouter.Config{Transport: transport})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := client.Complete(t.Context(), testKey, &request, nil)
		runtime.ReadMemStats(&after)
		if got := float64(after.TotalAlloc-before.TotalAlloc) / size; got > 0.1 || sent < size || sent > size+200 {
			t.Errorf("%s: sent %d bytes of %d and allocated %.2f times that (%v)", name, sent, size, got, err)
		}
	}
}

// What is put in the midst of a message list stands before its byte, whatever comes before the list.
func TestInsertions(t *testing.T) {
	t.Parallel()
	const list = ` [{"role":"user"}, {"role":"tool"} ] `
	tests := map[string]struct {
		system string
		insert []openrouter.Insertion
		want   string // "" for an error
	}{
		"none":              {"", nil, `[{"role":"user"}, {"role":"tool"} ]`},
		"two":               {"", []openrouter.Insertion{{20, `"name":"f",`}, {34, `,{}`}}, `[{"role":"user"}, {"name":"f","role":"tool"},{} ]`},
		"after a system":    {"s", []openrouter.Insertion{{34, `,{}`}}, `[{"role":"system","content":"s"},{"role":"user"}, {"role":"tool"},{} ]`},
		"after a long one":  {strings.Repeat("s", 70_000), []openrouter.Insertion{{20, `"name":"f",`}}, `[{"role":"system","content":"` + strings.Repeat("s", 70_000) + `"},{"role":"user"}, {"name":"f","role":"tool"} ]`},
		"before the list":   {"", []openrouter.Insertion{{0, `{}`}}, ""},
		"behind the list":   {"", []openrouter.Insertion{{99, `{}`}}, ""},
		"out of order":      {"", []openrouter.Insertion{{34, `,{}`}, {20, `{},`}}, ""},
		"where there is no": {"", []openrouter.Insertion{{len(list), `{}`}}, ""},
	}
	for name, tt := range tests {
		body, err := openrouter.Request{System: tt.system, Messages: json.RawMessage(list), Insert: tt.insert}.MarshalJSON()
		if want := `{"messages":` + tt.want + `,"stream":true}`; tt.want == "" && err == nil || tt.want != "" && string(body) != want {
			t.Errorf("%s: got %s, %v, want %s", name, body, err, want)
		}
	}
}
