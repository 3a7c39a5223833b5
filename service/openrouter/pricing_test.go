package openrouter_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gemini-client/service/openrouter"
)

// TestPricing: what is paid at most, whatever the catalogue lists, or that it is not
// known.
func TestPricing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want openrouter.Pricing
	}{
		"nothing":     {`{}`, openrouter.Pricing{}},
		"null":        {`null`, openrouter.Pricing{}},
		"no object":   {`[]`, openrouter.Pricing{}},
		"no output":   {`{"prompt":"0.1"}`, openrouter.Pricing{Prompt: 0.1, MostRead: 0.1, MostMedia: 0.1}},
		"free":        {`{"prompt":"0","completion":"0"}`, openrouter.Pricing{Bounded: true}},
		"a router":    {`{"prompt":"-1","completion":"-1"}`, openrouter.Pricing{}},
		"odd":         {`{"prompt":"1","completion":"NaN"}`, openrouter.Pricing{Prompt: 1, MostRead: 1, MostMedia: 1}},
		"odd request": {`{"prompt":"0","completion":"0","request":"x"}`, openrouter.Pricing{}},
		"all": {
			`{"prompt":"0.1","completion":0.2,"request":"3","image":"4","audio":"0.5","internal_reasoning":"0.6","input_cache_write":"0.15","web_search":"9","discount":0}`,
			openrouter.Pricing{Prompt: 0.1, Bounded: true, MostRead: 0.15, MostMedia: 0.5, MostWritten: 0.6, MostPiece: 4, MostCall: 3},
		},
		"dearer where it is long": {
			`{"prompt":"0.1","completion":"0.2","overrides":[{"min_prompt_tokens":200000,"prompt":"0.2","completion":"0.3"}]}`,
			openrouter.Pricing{Prompt: 0.1, Bounded: true, MostRead: 0.2, MostMedia: 0.2, MostWritten: 0.3},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got openrouter.Pricing
			err := json.Unmarshal([]byte(tt.text), &got)
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("error %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func FuzzPricing(f *testing.F) {
	f.Add(`{"prompt":"0.1","completion":0.2,"overrides":[{"prompt":"1e9"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var p openrouter.Pricing
		if json.Unmarshal([]byte(text), &p) != nil {
			return
		}
		for _, price := range []openrouter.Price{p.Prompt, p.MostRead, p.MostMedia, p.MostWritten, p.MostPiece, p.MostCall} {
			if !(price >= 0) {
				t.Errorf("%s: a price of %v", text, price)
			}
		}
		if p.Bounded && p.MostRead < p.Prompt && p.Prompt < 1e6 {
			t.Errorf("%s: read at most for %v, and the prompt costs %v", text, p.MostRead, p.Prompt)
		}
	})
}
