// Package openrouter is an HTTP client for OpenRouter's chat completions, one by one and in batches.
//
// It makes one call and returns its outcome. It knows neither events nor policies: whether a failed call is made again, with
// which key and when, is decided by its caller from the fields of an [Error].
//
//	Complete ─▶ Request ─▶ POST /chat/completions ─▶ 200 ─▶ SSE events ─▶ chunks ─▶ answer ─▶ Completion
//	            request.go  client.go                 │      sse.go        chunk.go  answer.go
//	                                                  │      └─ or one JSON document, whitespace before it
//	                                                  └▶ other ─▶ error body ─▶ *Error
//	                                                              errorbody.go   errors.go
//
// Every call streams, so a stall is noticed while it happens and pieces of the answer can be shown at once. What a caller can rely on:
//
//   - The result is a [Completion] or an [*Error], never both, whatever the server sends.
//   - An answer is complete once a finish_reason or [DONE] has been seen. What breaks after the finish_reason (a lost [DONE], a reset,
//     a time limit, a cancellation) costs the usage at most, never the answer, which has been paid for; only an error object still
//     makes it a failure.
//   - A 200 is not yet a success: OpenRouter commits it before the model has answered. Error objects in a body, in an event or in
//     a choice, finish_reason "error" and empty answers are errors.
//   - An answer cut by finish_reason "length" or "content_filter" is a Completion, even an empty one: another call would not help,
//     and the caller reads FinishReason.
//   - Time limits count tokens, not bytes: [Config.FirstToken] runs from the call's start to the first content, reasoning or tool
//     call fragment, or finish_reason; [Config.Gap] from each of these to the next. Comments (": OPENROUTER PROCESSING"),
//     whitespace, empty deltas and usage do not count. The time a caller spends in its onDelta is not counted either.
//   - A 4xx without OpenRouter's error object is not OpenRouter's: [Error.Edge] says so, and a repetition may succeed.
//   - Memory is bounded by [Config.MaxLineBytes], [Config.MaxAnswerBytes], 65,536 values in one event or document, and the size of the
//     response headers. With [WithRoom] a call waits for room before its answer grows; the first-token and gap limits pause
//     meanwhile, the context's deadline does not.
//   - The key goes to the base URL and nowhere else: redirects are errors, and clear text is refused unless the host is loopback.
//     No key appears in an error's text or fields.
//   - When a method returns, the response body is closed and no goroutine of the call is left.
//
// There is no idempotency key in this API: repeating a call that may have run can be billed twice ([Error.Started], [Error.Usage]).
//
// # Batches
//
// Batches are the same requests at about half the price, answered within a day:
//
//	SubmitBatch ─▶ items, one by one ─▶ POST /batches ─▶ 202 ─▶ Batch (stored, not yet validated)
//	               batch.go             batchsubmit.go
//	Batch ─▶ GET /batches/{id} ─▶ its fields in any order ─▶ results, one by one ─▶ Completion or *Error
//	         batches.go           batchjson.go               batchresults.go
//
// What a caller can rely on:
//
//   - Neither the upload nor the results are ever held: memory is bounded by one item, and by one result of
//     [Config.MaxAnswerBytes]. A result that is longer, or broken, is an Err of its item alone.
//   - Time limits count progress, not the whole: an upload may take as long as it goes on, and so may results.
//   - [Error.MayBeStored] says after a failed SubmitBatch whether the batch may exist: the whole upload was sent, and no answer
//     refused it. Then [Client.Batches] must be asked before it is submitted again. A 4xx, an upload that broke off and a
//     connection that never was are sure.
//   - The error of a failed batch has no documented form: [BatchError] takes the item at fault from where errors of this API name
//     such things, and a caller should not rely on it.
//
// # What a stream costs
//
// Chunks are read by a scanner (scan.go, chunkscan.go, usagescan.go) that allocates nothing and knows the shapes that OpenRouter sends; what it does
// not know is read by encoding/json, with the same result (FuzzChunk). Buffers are used again by later streams (buffers.go).
//
// # Beside the answers
//
// account.go asks about a key ([Client.Key]) and a model ([Client.Model]). refusal.go reads from the newest names (availability.go), then from
// status and text, why a model is refused. cache.go asks OpenRouter's response cache. With [WithAbandonment] a call
// whose answer nobody wants any more is read to its end for its usage alone (abandon.go).
package openrouter
