package upstream

import (
	"encoding/json"
	"reflect"
	"testing"

	"gemini-client/events"
)

// What OpenRouter gets for a request event, as the body that is sent.
func TestChatRequest(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change    func(*events.Request)
		fallbacks []string
		want      string // differences to the plain request's body; null: the field is not sent
	}{
		"defaults":                    {nil, nil, `{}`},
		"temperature 0 stays 0":       {func(r *events.Request) { r.Parameters.Temperature = 0 }, nil, `{"temperature":0}`},
		"top_p 0 stays 0":             {func(r *events.Request) { r.Parameters.TopP = 0 }, nil, `{"top_p":0}`},
		"top_k":                       {func(r *events.Request) { r.Parameters.TopK = 1 }, nil, `{"top_k":1}`},
		"max_output_tokens":           {func(r *events.Request) { r.Parameters.MaxOutputTokens = 1 }, nil, `{"max_tokens":1}`},
		"candidate_count is not sent": {func(r *events.Request) { r.Parameters.CandidateCount = 8 }, nil, `{}`},
		"stop_sequences":              {func(r *events.Request) { r.Parameters.StopSequences = []string{"END", "\n"} }, nil, `{"stop":["END","\n"]}`},
		"no stop_sequences":           {func(r *events.Request) { r.Parameters.StopSequences = []string{} }, nil, `{}`},
		"model":                       {func(r *events.Request) { r.Model = "google/gemini-3.5-flash-lite" }, nil, `{"model":"google/gemini-3.5-flash-lite"}`},
		"system_instruction":          {func(r *events.Request) { r.SystemInstruction = "Be brief." }, nil, `{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Why?"}]}`},
		"messages": {func(r *events.Request) {
			r.Prompt, r.Messages = "", json.RawMessage(` [{"role":"user","content":[{"type":"text","text":"<hi>"}],"x":1.0}] `)
		}, nil, `{"messages":[{"role":"user","content":[{"type":"text","text":"<hi>"}],"x":1.0}]}`},
		"system before messages too": {func(r *events.Request) {
			r.Prompt, r.Messages, r.SystemInstruction = "", json.RawMessage(`[{"role":"system","content":"a"},{"role":"user","content":"\u00fc\n"}]`), `Say "x"`
		}, nil, `{"messages":[{"role":"system","content":"Say \"x\""},{"role":"system","content":"a"},{"role":"user","content":"ü\n"}]}`},
		"what is ours is not sent": {func(r *events.Request) {
			r.Metadata, r.Stream, r.RetryCount, r.CallbackQueue = json.RawMessage(`{"a":1}`), true, 3, "x"
		}, nil, `{}`},
		"fallbacks":                   {nil, []string{"google/gemini-3.5-flash-lite", "google/gemini-3.6-flash"}, `{"models":["google/gemini-2.5-flash","google/gemini-3.5-flash-lite","google/gemini-3.6-flash"]}`},
		"fallback to itself":          {nil, []string{"google/gemini-2.5-flash", "google/b"}, `{"models":["google/gemini-2.5-flash","google/b"]}`},
		"own models win":              {extraFields(`{"models":["google/own"]}`), []string{"google/b"}, `{"models":["google/own"]}`},
		"own models, even none":       {extraFields(`{"models":[]}`), []string{"google/b"}, `{}`},
		"extra fields":                {extraFields(`{"reasoning":{"max_tokens":0},"seed":7,"user":"u","response_format":{"type":"json_object"}}`), nil, `{"reasoning":{"max_tokens":0},"seed":7,"user":"u","response_format":{"type":"json_object"}}`},
		"an extra null":               {extraFields(`{"seed":null,"provider":null}`), nil, `{"seed":null,"provider":null}`},
		"require_parameters, default": {extraFields(`{"provider":{"require_parameters":true}}`), nil, `{"top_k":null,"provider":{"require_parameters":true}}`},
		"require_parameters, own": {func(r *events.Request) {
			extraFields(`{"provider":{"require_parameters":true}}`)(r)
			r.Parameters.TopK = 41
		}, nil, `{"top_k":41,"provider":{"require_parameters":true}}`},
		"require_parameters false":     {extraFields(`{"provider":{"require_parameters":false}}`), nil, `{"provider":{"require_parameters":false}}`},
		"require_parameters not there": {extraFields(`{"provider":{"order":["google-vertex"]}}`), nil, `{"provider":{"order":["google-vertex"]}}`},
		"require_parameters odd":       {extraFields(`{"provider":{"require_parameters":"yes"}}`), nil, `{"provider":{"require_parameters":"yes"}}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := events.Request{ID: "1", Prompt: "Why?", Model: "google/gemini-2.5-flash", Parameters: events.DefaultParameters()}
			if tt.change != nil {
				tt.change(&r)
			}
			body, err := chatRequest(&r, tt.fallbacks).MarshalJSON()
			if err != nil {
				t.Fatalf("%+v: %v", r, err)
			}
			want := object(t, `{"model":"google/gemini-2.5-flash","messages":[{"role":"user","content":"Why?"}],"max_tokens":8192,"temperature":0.7,"top_p":0.95,"top_k":40,"stream":true}`)
			for field, value := range object(t, tt.want) {
				if _, standard := want[field]; standard && value == nil {
					delete(want, field)
				} else {
					want[field] = value
				}
			}
			if got := object(t, string(body)); !reflect.DeepEqual(got, want) {
				t.Errorf("%+v:\n got %v\nwant %v", r, got, want)
			}
		})
	}
}

// A request event may be used again: the further fields that OpenRouter gets are no part
// of it.
func TestChatRequestHasFieldsOfItsOwn(t *testing.T) {
	t.Parallel()
	r := events.Request{Prompt: "Why?"}
	extraFields(`{"seed":1}`)(&r)
	chat := chatRequest(&r, nil)
	delete(chat.Extra, "seed")
	if r.OpenRouter["seed"] == nil {
		t.Errorf("the event changed with the request made of it: %+v", r)
	}
}

func extraFields(text string) func(*events.Request) {
	return func(r *events.Request) {
		if err := json.Unmarshal([]byte(text), &r.OpenRouter); err != nil {
			panic(err)
		}
	}
}

func object(t *testing.T, text string) (fields map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return fields
}
