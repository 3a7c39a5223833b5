// Openrouter-sim serves a simulator of OpenRouter, for development and demonstrations: no model answers, no key is
// needed beyond one that begins with sk-or-, and nothing costs anything.
//
//	openrouter-sim --latency 400ms --token-interval 30ms
//	OPENROUTER_BASE_URL=http://127.0.0.1:8099/api/v1 OPENROUTER_API_KEYS=sk-or-v1-simulated gemini-client serve
//
// Faults are asked for by markers in prompts, such as [sim:429 retry_after=3 times=2]; openrouter-sim faults lists
// them. Every call is logged in one line, without its prompt and with no more of its key than the last four characters.
package main
