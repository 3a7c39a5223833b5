package simulator

import (
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// generation is what a model has generated for one call. Shape faults change it before it is sent.
type generation struct {
	id, model string
	created   int64
	price     price
	toolNames []string // of the request

	reasoning, content     string
	pieceSize              int // runes of content in one chunk
	tools                  []toolCall
	interleaved            bool // the fragments of parallel tool calls are mixed
	finish, native         string
	problem                *apiError // an error on the choice itself
	prompt, output, cached int       // tokens; output without reasoning
	unbilled               bool
	tier                   string // that serves; empty if the request named none
	hit                    bool   // it is an earlier one, from the response cache
}

// pieceSize is how many runes one chunk of an ordinary answer has: Gemini sends few and large ones.
const pieceSize = 48

// generate lets a model answer.
func (e *exchange) generate(asked string) {
	m := lookUp(asked)
	now := time.Now()
	g := &generation{
		id: newGenerationID(now), model: m.canonical, created: now.Unix(), price: m.price,
		pieceSize: pieceSize, finish: "stop", native: "STOP",
	}
	if g.tier = e.asked.servedBy(asked); g.tier == tierFlex {
		g.price = price{prompt: g.price.prompt / 2, cached: g.price.cached / 2, completion: g.price.completion / 2}
	}
	g.prompt = tokens(e.text) - tokens(e.call.Prompt) // markers are not counted
	for _, msg := range e.asked.Messages {
		g.prompt += tokens(msg.Content.text) + msg.Content.media*tokensOfMedia
	}
	for _, t := range e.asked.Tools {
		g.toolNames = append(g.toolNames, t.Function.Name)
	}
	if e.asked.wantsReasoning() && !e.asked.Reasoning.Exclude {
		g.reasoning = defaultReasoning
	}
	g.content = e.answer(asked)
	for _, stop := range e.asked.Stop {
		if stop != "" {
			g.content, _, _ = strings.Cut(g.content, stop)
		}
	}
	g.truncate(e.asked.limit())
	e.gen = g
}

// answer returns the text for the prompt, as JSON if JSON is asked for.
func (e *exchange) answer(model string) string {
	p := Prompt{Text: e.text, Model: model, MaxTokens: e.asked.limit(), Body: e.call.Body}
	if e.sim.config.Answer != nil {
		return e.sim.config.Answer(p)
	}
	text := defaultAnswer(p.Text)
	if f := e.asked.ResponseFormat; f != nil && (f.Type == "json_object" || f.Type == "json_schema") {
		return encode(map[string]string{"answer": text})
	}
	return text
}

// truncate cuts the answer at max_tokens, out of which reasoning comes first.
func (g *generation) truncate(limit int) {
	g.output = tokens(g.content)
	if limit <= 0 || tokens(g.reasoning)+g.output <= limit {
		return
	}
	g.finish, g.native = "length", "MAX_TOKENS"
	g.reasoning = firstRunes(g.reasoning, 4*limit)
	g.content = firstRunes(g.content, 4*(limit-tokens(g.reasoning)))
	g.output = tokens(g.content)
}

// tokensOfMedia is what an image or a file counts.
const tokensOfMedia = 258

// tokens estimates the tokens of a text: one for four characters, rounded up.
func tokens(text string) int { return (utf8.RuneCountInString(text) + 3) / 4 }

// split cuts a text into pieces of so many runes.
func split(text string, size int) []string {
	var pieces []string
	for text != "" {
		piece := firstRunes(text, size)
		pieces = append(pieces, piece)
		text = text[len(piece):]
	}
	return pieces
}

// firstRunes returns the first n runes of a text.
func firstRunes(text string, n int) string {
	count := 0
	for i := range text {
		if count == n {
			return text[:i]
		}
		count++
	}
	return text
}

// cost is what the generation costs, in USD: that of the prompt and that of what was generated. An answer that ended in
// an error, or is empty without a reason, is not billed.
func (g *generation) cost() (prompt, completion float64) {
	if g.unbilled || g.finish == "error" || g.finish == "" && g.completion() == 0 {
		return 0, 0
	}
	prompt = float64(g.prompt-g.cached)*g.price.prompt + float64(g.cached)*g.price.cached
	completion = float64(g.completion()) * g.price.completion
	return inDollars(prompt), inDollars(completion)
}

// inDollars turns millionths of a dollar into dollars without binary rounding errors.
func inDollars(micro float64) float64 { return math.Round(micro*1e6) / 1e12 }

// completion counts generated tokens, reasoning included.
func (g *generation) completion() int { return g.output + tokens(g.reasoning) }

// bill writes tokens and cost of the generation into the call.
func (g *generation) bill(c *Call) {
	prompt, completion := g.cost()
	c.GenerationID, c.ModelUsed = g.id, g.model
	c.ServiceTier, c.CacheHit = g.tier, g.hit
	if g.hit {
		c.FinishReason, c.NativeFinishReason = g.finish, g.native
		return
	}
	c.PromptTokens, c.CompletionTokens = g.prompt, g.completion()
	c.ReasoningTokens, c.CachedTokens = tokens(g.reasoning), g.cached
	c.FinishReason, c.NativeFinishReason = g.finish, g.native
	c.Cost = inDollars((prompt + completion) * 1e6)
}

const defaultReasoning = "The question is clear, so I look at what is asked, recall what is known about it, and answer."

// defaultAnswer returns a few sentences that depend on nothing but the prompt and quote its beginning, so that an
// answer can be told from another one's.
func defaultAnswer(prompt string) string {
	sentences := []string{
		"The short answer is that it depends on what you want to achieve.",
		"Most people begin with the simplest thing that could work and measure it.",
		"There are two points worth keeping apart here.",
		"The first is how often it happens, the second is what it costs when it does.",
		"In practice both are smaller than they look from a distance.",
		"A good next step is to write down one example and follow it to its end.",
		"If that goes well, the rest is a matter of repetition.",
		"If it does not, you will know where to look.",
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(prompt))
	seed := int(hash.Sum32() % 1024)
	var b strings.Builder
	fmt.Fprintf(&b, "This is a simulated answer to %q.", firstRunes(prompt, 80))
	for i := range 3 + seed%3 {
		b.WriteString(" " + sentences[(seed/3+i)%len(sentences)])
	}
	return b.String()
}
