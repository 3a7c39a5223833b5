// Package simulator is a faithful OpenRouter to develop, demonstrate, test and measure against. It is an http.Handler:
// mounted on a server, its /api/v1 takes the place of https://openrouter.ai/api/v1. No model answers here.
//
// A call goes this way:
//
//	arrive ─▶ hold ─▶ plan ──────────────────────────────────────▶ play ─▶ settle
//	read the   while   fault of the server? key? rate limit? body?   send    bill and
//	request,   a test  fault of the prompt's markers? error rate?    the     count it
//	count it   wants   else a model answers                          steps
//
// A plan ends in a reply: status, headers, and a list of steps with the wait before each. An ordinary answer is such a
// list, and most faults are small changes of it. The code that sends the list knows no faults.
//
// # Ordinary answers
//
// A stream is a comment, chunks of about 48 characters, a chunk with the finish_reason, a chunk with the usage (which
// repeats it, see Config.UsageWithoutChoice) and [DONE]. Without stream, the body is JSON after whitespace. The header
// X-Generation-Id comes before either. A text counts one token for four characters; prices are those of the model
// where they are known and those of google/gemini-2.5-flash elsewhere. A model that is unknown, or an alias (~google/…),
// is answered under a dated name; an author that is unknown gives 400. The text itself is a few sentences that depend on
// the prompt alone and quote its beginning, so that no answer can be taken for another one's.
//
// A client that disconnects changes nothing about the cost: Google's models go on generating, and the whole answer is
// billed. What was generated is billed even where a fault keeps it from arriving; errors and empty answers with no
// finish_reason are not billed.
//
// # Asking for faults
//
// A fault has a name and parameters. It is asked for by a marker in the last user message, for that call:
//
//	Why is the sky blue? [sim:429 retry_after=3 times=2]
//
// or for every call of the server, in the same words:
//
//	fault, err := simulator.ParseFault("cut after=1 how=close")
//	sim.SetFault(fault)
//
// Several markers follow one another: [sim:503 times=1] [sim:cut times=1] fails the first call in one way, the second
// in another, and answers the third. Markers are not part of the prompt that is answered. An invalid marker is
// answered with a 400 that names the problem.
//
// Every fault takes
//
//	times=N     only the first N calls get it (of those with exactly this prompt, if a marker asks)
//	share=0.1   only this fraction of calls gets it, chosen by Config.Seed
//	key=END     only calls whose API key ends with this
//	model=ID    only calls that ask for this model first; a fallback model then answers, if the fault allows
//
// Faults of the request, answered before any model:
//
//	400                  a malformed parameter
//	400_provider         a provider's 400, relayed with its raw text
//	context_length       400 context_length_exceeded
//	no_models            400 "No models provided", though one was: it passes
//	408 409 412 413 422  as they are
//	status               whichever is asked for: code=418 body=json|html|text|empty retry_after=
//
// of the account and its limits:
//
//	401                  text=user|credentials|header, the three messages
//	401_provider         a provider's 401, not your key's
//	402                  no credit
//	402_afford           max_tokens is more than the credit affords, smaller calls pass: tokens=256
//	402_in_flight        in_flight_budget_exhausted, it passes: retry_after=5
//	402_weight           weight_exceeds_budget, it does not
//	403_moderation       with reasons and flagged_input
//	403_guardrail        with patterns
//	403_key_limit        the limit of the key is used up
//	429_platform         with X-RateLimit-*, Reset in Unix milliseconds: reset=30s
//	free_tier_daily      the day's free calls are used up
//
// of a model's availability, with the object error.availability and no error.code (404 itself has the older form):
//
//	404                  "No endpoints found that support tool use"
//	model_not_found      wrong_endpoint (both 400), region_restricted (403)
//	no_endpoints         model_deprecated, model_unavailable_upstream, privacy_restricted, constraint_filtered,
//	                     free_variant_ended (all 404)
//	capacity_exhausted   429: retry_after=40
//	temporarily_unavailable  503: retry_after=
//
// The next of several models answers after an error in the availability of the first (all but the last two).
//
// of providers, of OpenRouter's servers and of the edge in front of them:
//
//	429                  with Retry-After if it is given: retry_after=
//	429_provider         a provider's 429, relayed with its raw text, with Retry-After if it is given: retry_after=
//	500 502 504          the plain status
//	503 529              with Retry-After if it is given: retry_after=
//	502_html 520 522 524 an HTML page
//
// in what the model generates, streamed or not:
//
//	finish_error         finish_reason error, native MALFORMED_FUNCTION_CALL, junk text, no error object
//	choice_error         half an answer, then choices[0].error: code=502
//	empty                no token, finish_reason stop: finish=stop|null
//	content_filter       no token, finish_reason content_filter, cost 0: native=SAFETY
//	tools                parallel tool calls in fragments: count=2 order=sequential|interleaved
//	reasoning            deltas of reasoning before the answer
//	huge                 bytes=1048576 chunk=4096
//	huge_line            the same in one event: bytes=1048576
//	cost_zero            an answer that costs nothing
//	cached               tokens=1024 of the prompt were cached
//	dated                a dated model name: date=20260303
//
// in how it is sent after the 200:
//
//	200_error            a JSON body that is an error: code=502
//	blank                nothing but whitespace
//	json                 a JSON body though a stream was asked for
//	first_event_error    an error is the first and only event: code=502, or a word such as code=server_error
//	mid_error            an error event after some pieces: code=502 after=2
//	content_on_finish    the finish chunk carries content
//	null_content         a chunk whose content is null
//	double_finish        two chunks with a finish_reason
//	usage_without_choice the usage chunk in its older form
//	no_done              EOF without [DONE]
//	no_usage             EOF before the usage chunk
//	drip                 a slow answer: gap=1s
//	comments             keep-alive comments without end: after=0 every=500ms
//
// and in the connection:
//
//	refuse               closed without an answer
//	hang                 not even headers; with for=2s an ordinary answer after that time
//	hang_after_headers   headers, then nothing
//	stall                silence after some pieces: after=2
//	cut                  in the middle of an event: after=2 how=reset|close|eof
//	reset                a TCP reset between two events: after=2
//	truncate             a clean EOF between two events: after=2
//	redirect             to another host: to=https://… code=307
//
// # In tests
//
// Calls, Count, CountFor, InFlight and Cost report what has happened. Wait waits for it. Hold keeps calls in flight until
// the test releases them. A call ends just before its last bytes are sent, so a test that has read an answer to its end
// finds it in Calls with its outcome.
package simulator
