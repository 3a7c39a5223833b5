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
// Gemini 3.5 and newer refuse what Google documents as an error: penalties, a last message of the assistant, an answer of
// a tool without the id and the name of its call. That OpenRouter lets these through to Google, the words of the refusals,
// and that reasoning cannot be switched off (documented for gemini-3.5-flash) are inferred.
//
// A client that disconnects changes nothing about the cost: Google's models go on generating, and the whole answer is
// billed. What was generated is billed even where a fault keeps it from arriving; errors and empty answers with no
// finish_reason are not billed.
//
// A key has no limit and does not expire, unless SetKey says so. GET /key tells what it may spend, what of it is left, and when it
// expires. A key that has spent its limit gets the 403 of 403_key_limit, and one that has expired the 401 of an unknown one.
//
// # What saves money
//
// A call that asks for service_tier flex, or for endpoints of flex alone (provider.only), is served by flex at half the price
// where the model has such endpoints, and does not fall back: the fault flex_capacity is seen. Without such endpoints a
// service_tier is served by the default tier without a word, and provider.only gives 404. The suffix :floor takes flex and falls
// back. The tier that served is in every chunk and in the body of a call that named one. Inferred: which models have flex (see
// hasFlex), that flex is refused with 429 or 503 and with which text, that every chunk names the tier, that another call's
// tier is not told, and that other tiers than flex are served by the default one.
//
// The response cache answers X-OpenRouter-Cache: true with what it has kept of the same key, model, endpoint, stream flag and
// body (spaces in it do not count, the order of keys does), under a new id and with a usage that is all 0. It keeps what was sent
// to its end with a 200, for X-OpenRouter-Cache-TTL. X-OpenRouter-Cache-Clear drops it first. Inferred: that a TTL out of range
// counts as 300 s, that an answer abandoned by its client is not kept and an empty one is, and that the cache is asked after the
// key, its limits and the body have been checked.
//
// The limits of user, session_id and metadata are checked; that more is a 400, and its text, are inferred. Sessions and presets
// change nothing else. Call.Body and Call.Header have every byte that was sent.
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
//	status               whichever is asked for: code=418 type= body=json|html|text|empty retry_after=
//
// of the account and its limits:
//
//	401                  text=user|credentials|header, the three messages
//	401_provider         a provider's 401, not your key's
//	402                  no credit
//	402_afford           max_tokens is more than the credit affords, smaller calls pass: tokens=256
//	402_in_flight        in_flight_budget_exhausted, it passes: retry_after=5
//	402_in_flight_silent the same without Retry-After: not to be waited for
//	402_weight           weight_exceeds_budget, it does not
//	403_moderation       with reasons and flagged_input
//	403_guardrail        with patterns
//	403_key_limit        the limit of the key is used up
//	403_workspace_budget a budget of the workspace is: interval=daily|weekly|monthly|lifetime
//	403_guardrail_budget the budget of a guardrail is
//	429_platform         with X-RateLimit-*, Reset in Unix milliseconds: reset=30s
//	free_tier_daily      the day's free calls are used up
//
// of a model that is gone and of routing, as captures have them, without the object error.availability:
//
//	404                  "No endpoints found that support tool use"
//	404_gone 400_gone    "No endpoints found for …", "… is not a valid model ID": the model was retired
//	404_batch            the model is for the Batch API alone
//	404_guardrail        a guardrail excludes every endpoint, 404_data_policy the data policy does
//	400_models           more than three entries in models, which is refused by itself too
//
// of a model's availability, as documented, with the object error.availability and no error.code:
//
//	model_not_found      wrong_endpoint (both 400), region_restricted (403)
//	no_endpoints         model_deprecated, model_unavailable_upstream, privacy_restricted, constraint_filtered,
//	                     free_variant_ended (all 404)
//	capacity_exhausted   429: retry_after=40
//	temporarily_unavailable  503
//	availability         a code that nobody knows yet: code=model_paused status=404
//
// all of them with retry_after=, retryable=true|false, place=error|metadata.
//
// The next of several models answers after an error in the availability of the first (all but capacity_exhausted, temporarily_unavailable and availability), and after 404_gone, 400_gone and 404_batch.
//
// of providers, of OpenRouter's servers and of the edge in front of them:
//
//	429                  with Retry-After if it is given: retry_after=
//	429_provider         a provider's 429, relayed with its raw text, with Retry-After if it is given: retry_after=
//	500 502 504          the plain status
//	503 529              with Retry-After if it is given: retry_after=
//	502_html 520 522 524 an HTML page
//	flex_capacity        of the tier flex alone: code=429 retry_after=
//
// in what the model generates, streamed or not:
//
//	finish_error         finish_reason error, native MALFORMED_FUNCTION_CALL, junk text, no error object
//	choice_error         half an answer, then choices[0].error: code=502 type=
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
//	200_error            a JSON body that is an error: code=502 type= choices=absent|none
//	blank                nothing but whitespace
//	json                 a JSON body though a stream was asked for
//	first_event_error    an error is the first and only event: code=502, or a word such as code=server_error, type= choices=one|none
//	mid_error            the same after some pieces: after=2
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
// # What is inferred
//
// These are not in a capture or in OpenRouter's documentation as they stand here: the text of 403_guardrail_budget (its metadata is
// documented), the metadata of 404_batch, the end of the texts of 404_batch, 404_guardrail and 404_data_policy, that the next of several
// models answers after 404_gone and 400_gone, that an expired key gets the 401 of an unknown one, the object in error.metadata (place=metadata, seen in one client's test), and the messages of
// errors with error.availability. No capture of error.availability itself is known.
//
// # Batches
//
// /api/v1/batches stores batches and runs their items with the answers of chat calls, at half the price. One that was stored
// goes from validating to in_progress, finalizing and completed: by one status with each GET of it, with time
// (Config.Batch.Step, AdvanceBatchClock), or when a test says so (BatchManual, AdvanceBatches, EndBatch). One invalid item makes
// the whole batch fail when validation ends; what its error names of the item is Config.Batch.Names. All items are run, and
// billed, when in_progress ends. Results come with a completed batch alone. BatchRuns and BatchRunsFor say what was run, Batches
// and Stats what was stored; Cost includes batches.
//
// A marker in an item's prompt is about that item. Faults of the request, the account, availability and providers become the
// response of the item (or its error, where they have no JSON), those in what the model generates change the answer, those of
// sending and of the connection do nothing. There are also
//
//	batch_invalid        the item is invalid, so that the whole batch fails; a 400 for a chat call
//	batch_error          the item has an error and no response: code=502
//	batch_dropped        the item has no result at all
//
// These are about the whole batch. A marker in any of its items asks for them, or SetFault, whose other faults do not
// concern batches:
//
//	batch_refused        an error status, and nothing is stored: on=submit|get|list|delete code=503 retry_after=
//	batch_lost           the batch is stored, the 202 is lost: how=reset|close, or an error status with code=
//	batch_hang           no answer, and nothing is stored: on=submit|get|list|delete
//	batch_cut            the results break off: after=1 how=reset|close
//	batch_failed         it fails, and no item is to blame
//	batch_expired        ran=0 items have been run and billed, and nobody gets their results
//	batch_cancelled      the same: ran=0
//	batch_stuck          it stays in_progress until it expires, after 24 hours (96 where provider.only is google-vertex)
//
// Documented are the fields of requests and batches, the statuses, that requests come last, 5,000 requests and 200 MB, unique
// ids, results only when completed, paging, DELETE of what has ended (or 409), 30 days, the 400 of a model without batches, the
// 404 of provider.only, the 422 of :online, what validation rejects, half the price, and that cache reads are not halved for
// google/gemini-2.5-flash. A callback_url is never called. Inferred are:
//
//   - the forms of ids and of errors, and the statuses of the other refusals: 400, and 413 over 200 MB
//   - which rules are checked before the 202 (those of the list and of the whole batch) and which at validation (those of
//     bodies), and that what a model does not take fails its item alone
//   - the order of results (mixed) and of lists (newest first), the 404 for another key's batch, the answer to DELETE
//   - that expired and cancelled batches bill what had been run
//   - that gemini-3.1-flash-lite and gemini-2.5-flash-lite, whose prices were listed, have batches, as google/gemini-2.5-flash
//     and google/gemini-3.5-flash-lite have, and that no other model has
//
// Sources differ on what a key's list shows (its own batches, or with Config.Batch.AllKeys everybody's), on images (here public
// addresses pass) and on whether items tell their cost (Config.Batch.NoItemCost).
//
// # Retired models
//
// Retire takes a model away, at any moment, and Restore brings it back. Stored answers show the 404 "No endpoints found"
// and the 400 "is not a valid model ID"; error.availability is documented, and one client's test has it in error.metadata.
// Inferred: these come whatever else stands in models; with RetiredSilently the next of models answers instead; only the
// 400 means that the model has left the catalogue. More than three entries in models are refused, as was seen live.
//
// # In tests
//
// Calls, Count, CountFor, InFlight and Cost report what has happened. Wait waits for it. Hold keeps calls in flight until
// the test releases them. A call ends just before its last bytes are sent, so a test that has read an answer to its end
// finds it in Calls with its outcome.
package simulator
