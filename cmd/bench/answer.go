package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// chunkText is what one chunk of an answer says: as long as Gemini's usually are.
const chunkText = "The sky is blue because air scatters short waves. "

// An answer is how the upstream answers: Chunks chunks, the first after First, the
// last when Over has passed since the call. 0 is at once.
type answer struct {
	Chunks int           `json:"chunks"`
	First  time.Duration `json:"first"`
	Over   time.Duration `json:"over"`
	TLS    bool          `json:"tls"`   // and HTTP/2
	Stamp  bool          `json:"stamp"` // chunks hold the time at which they are sent
}

// text is the whole content of an answer.
func (a answer) text() string { return strings.Repeat(chunkText, a.Chunks) }

// head is what OpenRouter sends before an answer.
const head = ": OPENROUTER PROCESSING\n\n"

// tail is what it sends behind the last chunk.
func (a answer) tail() string {
	usage := fmt.Sprintf(`,"usage":{"prompt_tokens":90,"completion_tokens":%d,"total_tokens":%d,"cost":7.7e-06,"is_byok":false,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},`+
		`"cost_details":{"upstream_inference_cost":null,"upstream_inference_prompt_cost":2.7e-06,"upstream_inference_completions_cost":5e-06},"completion_tokens_details":{"reasoning_tokens":0}}`,
		12*a.Chunks, 90+12*a.Chunks)
	return event("", `"stop"`, "") + event("", `"stop"`, usage) + "data: [DONE]\n\n"
}

// chunk is one piece of the answer.
func chunk(content string) string { return event(content, "null", "") }

// event is a chunk as OpenRouter sends it; more is appended to it.
func event(content, finish, more string) string {
	text, err := json.Marshal(content)
	if err != nil {
		panic(err) // a string
	}
	native := finish
	if finish != "null" {
		native = strings.ToUpper(finish)
	}
	return fmt.Sprintf(`data: {"id":"gen-1773273600-aBcDeFgHiJkLmNoPqRsT","object":"chat.completion.chunk","created":1773273600,"model":"google/gemini-2.5-flash","provider":"Google",`+
		`"choices":[{"index":0,"delta":{"role":"assistant","content":%s},"finish_reason":%s,"native_finish_reason":%s,"logprobs":null}]%s}`+"\n\n",
		text, finish, native, more)
}

// due is when chunk i is sent, counted from the call.
func (a answer) due(i int) time.Duration {
	if a.Chunks < 2 {
		return a.Over
	}
	return a.First + (a.Over-a.First)*time.Duration(i)/time.Duration(a.Chunks-1)
}

// write sends an answer through send, which sends at once; wait waits until so much
// time has passed since the call. What is due together is sent together.
func (a answer) write(send func(string) error, wait func(time.Duration) error) error {
	if a.Over == 0 {
		return send(head + strings.Repeat(chunk(chunkText), a.Chunks) + a.tail())
	}
	if err := send(head); err != nil {
		return err
	}
	for i := 0; i < a.Chunks; {
		due := a.due(i)
		if err := wait(due); err != nil {
			return err
		}
		var together strings.Builder
		for ; i < a.Chunks && a.due(i) == due; i++ {
			together.WriteString(a.chunk())
		}
		if i == a.Chunks {
			together.WriteString(a.tail())
		}
		if err := send(together.String()); err != nil {
			return err
		}
	}
	return nil
}

// chunk is the next piece of an answer.
func (a answer) chunk() string {
	if a.Stamp {
		return chunk(fmt.Sprint(time.Now().UnixNano(), " "))
	}
	return chunk(chunkText)
}
