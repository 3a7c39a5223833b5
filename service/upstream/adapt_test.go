package upstream

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

const (
	oldModel  = "google/gemini-2.5-flash"
	successor = "google/gemini-3.5-flash-lite"
)

// bodyOf is the body that is sent for a request to a model.
func bodyOf(t *testing.T, model string, r events.Request) (body string, notes []string) {
	t.Helper()
	r.Model = model
	asked := chatRequest(&r, nil)
	before, err := asked.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	adapted := asked
	notes = adapt(model, &adapted)
	sent, err := adapted.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(sent) {
		t.Errorf("the body is not JSON: %s", sent)
	}
	if after, _ := asked.MarshalJSON(); string(after) != string(before) {
		t.Errorf("the request was changed:\n got %s\nwant %s", after, before)
	}
	return string(sent), notes
}

const tools = `[{"role":"user","content":"a"},` +
	`{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":\"]}\\\\\"}"}},{"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]},` +
	` {"role":"tool","tool_call_id":"c2","content":"2"} , {"role":"tool","name":"own","tool_call_id":"c1","content":"1"},{"role":"tool","tool_call_id":"c3","content":"?"}]`

// What the successor gets, byte for byte: the fields of the default request and what
// stands here. The model before it gets everything as it came.
func TestAdapt(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		messages, extra string
		change          func(*events.Parameters)
		want            string // body without the model; $ stands for the usual parameters
		notes           int
	}{
		"nothing to do":           {want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","stream":true,$`},
		"penalties":               {extra: `{"frequency_penalty":0.5,"presence_penalty":-1,"seed":7}`, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","seed":7,"stream":true,$`, notes: 2},
		"sampling has no effect":  {change: func(p *events.Parameters) { p.Temperature = 0 }, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","stream":true,"temperature":0,"top_k":40,"top_p":0.95}`, notes: 1},
		"all parameters required": {extra: `{"provider":{"require_parameters":true}}`, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","provider":{"require_parameters":true},"stream":true}`, notes: 1},
		"effort none":             {extra: `{"reasoning":{"effort":"none","exclude":true}}`, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","reasoning":{"effort":"minimal","exclude":true},"stream":true,$`, notes: 1},
		"effort max":              {extra: `{"reasoning":{"effort":"max"}}`, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","reasoning":{"effort":"high"},"stream":true,$`, notes: 1},
		"effort low":              {extra: `{"reasoning":{ "effort":"low"}}`, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","reasoning":{ "effort":"low"},"stream":true,$`},
		"reasoning_effort none":   {extra: `{"reasoning_effort":"none"}`, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","reasoning_effort":"minimal","stream":true,$`, notes: 1},
		"reasoning off":           {extra: `{"reasoning":{"enabled":false}}`, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","reasoning":{"effort":"minimal"},"stream":true,$`, notes: 1},
		"reasoning on":            {extra: `{"reasoning":{"enabled":true}}`, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","reasoning":{"enabled":true},"stream":true,$`},
		"no budget":               {extra: `{"reasoning":{"max_tokens":0}}`, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","reasoning":{"effort":"minimal"},"stream":true,$`, notes: 1},
		"a budget of a fifth":     {extra: `{"reasoning":{"max_tokens":1639}}`, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","reasoning":{"effort":"low"},"stream":true,$`, notes: 1},
		"a budget of a half":      {extra: `{"reasoning":{"max_tokens":4096}}`, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","reasoning":{"effort":"medium"},"stream":true,$`, notes: 1},
		"a budget of nearly all":  {extra: `{"reasoning":{"max_tokens":8000}}`, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","reasoning":{"effort":"high"},"stream":true,$`, notes: 1},
		"effort and budget":       {extra: `{"reasoning":{"effort":"none","max_tokens":9}}`, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","reasoning":{"effort":"none","max_tokens":9},"stream":true,$`},
		"odd reasoning":           {extra: `{"reasoning":[1],"reasoning_effort":7}`, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","reasoning":[1],"reasoning_effort":7,"stream":true,$`},
		"null reasoning":          {extra: `{"reasoning":null}`, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"M","reasoning":null,"stream":true,$`},
		"prefill":                 {messages: ` [{"role":"user","content":"a"}, {"role":"assistant","content":"b]"} ] `, want: `{"max_tokens":8192,"messages":[{"role":"user","content":"a"}, {"role":"assistant","content":"b]"},` + goOn + ` ],"model":"M","stream":true,$`, notes: 1},
		"no prefill":              {messages: `[{"role":"assistant","content":"b"},{"role":"user","content":"a"}]`, want: `{"max_tokens":8192,"messages":[{"role":"assistant","content":"b"},{"role":"user","content":"a"}],"model":"M","stream":true,$`},
		"calls are no prefill":    {messages: `[{"role":"assistant","tool_calls":[{"id":"a"}]}]`, want: `{"max_tokens":8192,"messages":[{"role":"assistant","tool_calls":[{"id":"a"}]}],"model":"M","stream":true,$`},
		"no calls":                {messages: `[{"role":"assistant","tool_calls":[]}]`, want: `{"max_tokens":8192,"messages":[{"role":"assistant","tool_calls":[]},` + goOn + `],"model":"M","stream":true,$`, notes: 1},
		"names of tools":          {messages: tools, want: `{"max_tokens":8192,"messages":` + strings.Replace(tools, `{"role":"tool","tool_call_id":"c2"`, `{"name":"g","role":"tool","tool_call_id":"c2"`, 1) + `,"model":"M","stream":true,$`, notes: 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := events.Request{Prompt: "Why?", Parameters: events.DefaultParameters()}
			if tt.messages != "" {
				r.Prompt, r.Messages = "", json.RawMessage(tt.messages)
			}
			if tt.extra != "" {
				extraFields(tt.extra)(&r)
			}
			if tt.change != nil {
				tt.change(&r.Parameters)
			}
			for _, model := range []string{successor, successor + "-20260721", successor + ":nitro", "google/gemini-3.8-flash"} {
				got, notes := bodyOf(t, model, r)
				want := strings.NewReplacer(`"M"`, `"`+model+`"`, "$", `"temperature":0.7,"top_k":40,"top_p":0.95}`).Replace(tt.want)
				if got != want || len(notes) != tt.notes {
					t.Errorf("%s:\n got %s\nwant %s\nnotes: %q, want %d", model, got, want, notes, tt.notes)
				}
			}
			for _, model := range []string{oldModel, "google/gemini-3.1-flash-lite", "google/gemma-3.5", "openai/gemini-3.5"} {
				if _, notes := bodyOf(t, model, r); len(notes) > 0 {
					t.Errorf("%s: %q", model, notes)
				}
			}
		})
	}
}

// OpenRouter maps the reasoning of an alias itself; all else is that of the newest models.
func TestAdaptAlias(t *testing.T) {
	t.Parallel()
	r := events.Request{Prompt: "Why?", Parameters: events.DefaultParameters()}
	extraFields(`{"presence_penalty":1,"reasoning":{"effort":"none"}}`)(&r)
	got, _ := bodyOf(t, "~google/gemini-flash-latest", r)
	want := `{"max_tokens":8192,"messages":[{"role":"user","content":"Why?"}],"model":"~google/gemini-flash-latest","reasoning":{"effort":"none"},"stream":true,"temperature":0.7,"top_k":40,"top_p":0.95}`
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// A list of messages is not copied, however long it is: what is added is small.
func TestAdaptCopiesNoMessages(t *testing.T) {
	t.Parallel()
	messages := json.RawMessage(`[{"role":"user","content":"` + strings.Repeat(`\"a`, 1<<20) + `"},{"role":"assistant","content":"b"}]`)
	r := openrouter.Request{Messages: messages}
	adapted := r
	adapt(successor, &adapted)
	if len(adapted.Insert) != 1 || &adapted.Messages[0] != &messages[0] {
		t.Errorf("not adapted in place: %v", adapted.Insert)
	}
	body, err := adapted.MarshalJSON()
	if want := `,"stream":true}`; err != nil || !json.Valid(body) || len(body) > len(messages)+len(goOn)+100 || !strings.HasSuffix(string(body), want) {
		t.Errorf("body of %d bytes, %v", len(body), err)
	}
}

// A name that is too long to be one multiplies nothing.
func TestAdaptIgnoresLongNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 1<<20)
	messages := `[{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"` + long + `"}}]},{"role":"tool","tool_call_id":"a","content":""}]`
	adapted := openrouter.Request{Messages: json.RawMessage(messages)}
	if adapt(successor, &adapted); len(adapted.Insert) > 0 {
		t.Error("a name of 1 MiB was put in")
	}
}

// Of the models that OpenRouter tries in turn those stay that take the same body.
func TestModelsThatTakeAnotherBody(t *testing.T) {
	t.Parallel()
	const penalty = `"presence_penalty":1`
	tests := map[string]struct {
		model, extra string
		fallbacks    []string
		want         []string
	}{
		"the same for all":     {oldModel, `{}`, []string{successor}, []string{oldModel, successor}},
		"the fallback refuses": {oldModel, `{` + penalty + `}`, []string{successor, "google/b"}, []string{oldModel, "google/b"}},
		"the only one":         {oldModel, `{` + penalty + `}`, []string{successor}, nil},
		"one family":           {successor, `{` + penalty + `}`, []string{"google/gemini-3.6-flash"}, []string{successor, "google/gemini-3.6-flash"}},
		"the first refuses":    {successor, `{` + penalty + `}`, []string{oldModel}, nil},
		"own list":             {oldModel, `{"models":["` + successor + `","google/b"],` + penalty + `}`, nil, []string{oldModel, "google/b"}},
		"a preset":             {oldModel + "@preset/x", `{}`, []string{successor}, nil},
		"a preset's own list":  {"@preset/x", `{"models":["` + successor + `"]}`, nil, []string{successor}},
		"the Batch API's":      {oldModel + ":batch", `{}`, []string{successor}, nil},
		"own list of the same": {oldModel, `{"models":["` + successor + `"]}`, nil, []string{successor}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, _ := newTestCaller(t, nil)
			r := events.Request{Prompt: "Why?", Model: tt.model, Parameters: events.DefaultParameters()}
			extraFields(tt.extra)(&r)
			c := &call{caller: u.Caller, request: chatRequest(&r, tt.fallbacks)}
			_, c.ownList = r.OpenRouter["models"]
			u.fit(t.Context(), c)
			body, err := c.sent.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			var sent struct {
				Models []string `json:"models"`
			}
			if err := json.Unmarshal(body, &sent); err != nil || !slices.Equal(sent.Models, tt.want) {
				t.Errorf("models: got %v, want %v (%v)", sent.Models, tt.want, err)
			}
			if !reflect.DeepEqual(c.request, chatRequest(&r, tt.fallbacks)) {
				t.Error("the request was changed")
			}
		})
	}
}

// A variant or a preset of a model takes what the model takes.
func TestFamilyOfVariants(t *testing.T) {
	t.Parallel()
	for _, name := range []string{successor, successor + ":nitro", successor + "@preset/x", successor + ":nitro@preset/x"} {
		if familyOf(name) == nil {
			t.Errorf("%s: is not known", name)
		}
	}
}

// What is done to requests is said once a process and model.
func TestAdaptionIsSaidOnce(t *testing.T) {
	t.Parallel()
	var s said
	if !s.first("a", "x") || s.first("a", "x") || !s.first("a", "y") || !s.first("b", "x") {
		t.Error("not once for each model")
	}
}
