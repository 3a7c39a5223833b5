package upstream

// A family is what models of one family ignore, refuse or need in a request that
// others take as it is.
type family struct {
	models  []string          // globs over names without a variant (:nitro) or a preset (@preset/x)
	ignored []string          // fields that have no effect
	refused []string          // fields that make the call fail
	efforts map[string]string // reasoning.effort: what is refused, and what is sent in its place
	levels  bool              // reasoning has levels and no budget
	prefill bool              // a last message of the assistant makes the call fail
	named   bool              // an answer of a tool needs the name of its call
}

// families is the one table of what models need otherwise. The first row that
// matches counts. Sources, read in November 2026:
//
//   - Google, models/gemini/3-5-flash-lite (after 2026-07-21): custom temperature,
//     top_p and top_k are ignored; custom frequency_penalty and presence_penalty, and a
//     last turn of the model, are errors; thinking has levels, of which minimal is the
//     default. A migration guide for Gemini 3.6 says the same. Whether OpenRouter
//     removes the penalties by itself is not known.
//   - OpenRouter, reasoning-tokens.mdx and latest-resolution.mdx: max_tokens becomes a
//     level; a named model for which reasoning is mandatory refuses effort none (listed
//     so for gemini-3.5-flash), an alias (~author/family-latest) maps it. A live probe of
//     2026-05 refused effort max.
//   - LiteLLM, blog/gemini_3_5_flash: from Gemini 3.5 on each answer of a tool needs the
//     id and the name of its call.
//
// Aliases point to the newest models, which are of the 3.5 kind or newer.
var families = []family{ //nolint:gochecknoglobals // a table, never changed
	{
		models:  []string{"google/gemini-3.[5-9]*"},
		ignored: []string{fieldTemperature, fieldTopP, fieldTopK},
		refused: []string{"frequency_penalty", "presence_penalty"},
		efforts: map[string]string{effortNone: "minimal", "max": "high"},
		levels:  true, prefill: true, named: true,
	},
	{
		models:  []string{"~google/gemini-*-latest"},
		ignored: []string{fieldTemperature, fieldTopP, fieldTopK},
		refused: []string{"frequency_penalty", "presence_penalty"},
		prefill: true, named: true,
	},
}

const (
	fieldTemperature = "temperature"
	fieldTopP        = "top_p"
	fieldTopK        = "top_k"
	effortNone       = "none"
)

// effortShares are the shares of max_tokens that an effort stands for where reasoning
// has a budget, in percent (OpenRouter, reasoning-tokens.mdx), the largest first. A
// budget becomes the highest effort that stands for no more than it.
var effortShares = []struct { //nolint:gochecknoglobals // a table, never changed
	effort string
	share  int
}{{"high", 80}, {"medium", 50}, {"low", 20}, {"minimal", 0}}

// goOn is the turn of the user that follows a last message of the assistant where the
// model refuses to be the one who goes on.
const goOn = `{"role":"user","content":"Go on with your last message exactly where it ends. Repeat nothing of it."}`
