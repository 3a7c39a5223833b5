package simulator_test

import (
	"net/http"
	"testing"

	"gemini-client/service/openrouter/simulator"
)

// Gemini 3.5 and newer refuse what older ones take.
func TestNewerGeminiRefuses(t *testing.T) {
	t.Parallel()
	const user = `{"role":"user","content":"Why?"}`
	tests := map[string]struct {
		messages, more string
		newer          int
	}{
		"nothing special":       {user, ``, http.StatusOK},
		"frequency_penalty":     {user, `,"frequency_penalty":0.5`, http.StatusBadRequest},
		"presence_penalty":      {user, `,"presence_penalty":0.5`, http.StatusBadRequest},
		"penalties of 0":        {user, `,"presence_penalty":0,"frequency_penalty":0`, http.StatusOK},
		"prefill":               {user + `,{"role":"assistant","content":"Be"}`, ``, http.StatusBadRequest},
		"a tool without a name": {user + `,{"role":"tool","tool_call_id":"a","content":"1"}`, ``, http.StatusBadRequest},
		"a tool":                {user + `,{"role":"tool","tool_call_id":"a","name":"f","content":"1"}`, ``, http.StatusOK},
		"no reasoning":          {user, `,"reasoning":{"effort":"none"}`, http.StatusBadRequest},
		"reasoning off":         {user, `,"reasoning":{"enabled":false}`, http.StatusBadRequest},
		"little reasoning":      {user, `,"reasoning":{"effort":"minimal"}`, http.StatusOK},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, simulator.Config{})
			post := func(models string) int {
				body := "{" + models + `,"messages":[` + tt.messages + `]` + tt.more + `}`
				return b.do(t.Context(), http.MethodPost, "/api/v1/chat/completions", testKey, body).status
			}
			for model, want := range map[string]int{"google/gemini-2.5-flash": http.StatusOK, "google/gemini-3.5-flash-lite": tt.newer, "google/gemini-3.8-flash:nitro": tt.newer} {
				if got := post(`"model":"` + model + `"`); got != want {
					t.Errorf("%s: got %d, want %d", model, got, want)
				}
			}
			if got := post(`"models":["google/gemini-3.5-flash-lite","google/gemini-2.5-flash"]`); got != http.StatusOK { // any error moves on
				t.Errorf("with a fallback: got %d", got)
			}
		})
	}
}
