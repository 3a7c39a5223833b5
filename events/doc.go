// Package events is the contract of gemini-client: what a backend may send,
// what it gets back, and under which subjects. It holds types and rules only;
// it knows neither NATS nor HTTP, and it imports nothing but the standard
// library and package jsonscan below it, so a backend written in Go can copy it.
//
//	backend ──▶ REQUEST_QUEUE ──▶ Rules.Decode ──▶ Request ──▶ (the service works)
//	                                  │                              │
//	                     ErrNoID      │ Failure                      ▼
//	                        ▼         └────────────────────────▶ Result.Encode
//	                   dead letter                                   │
//	backend ◀── <callback>.completed.<id>, <callback>.failed.<id> ◀──┘
//
// # Requests
//
// [Rules.Decode] reads a request body and checks every rule at once. There are
// three outcomes, and a caller has to tell them apart:
//
//   - a [Request] whose every field is valid, defaults filled in;
//   - an error that wraps [ErrNoID]: nobody can be answered, so the message
//     becomes a dead letter;
//   - a [Failure]: the id is usable, so the requester gets a failed
//     result. The Request returned beside it carries what that result needs.
//
// # Results
//
// A [Result] is one JSON object whose fields are always all there, null where
// nothing is known; four that came later are absent instead. [Request.Completed] and [Request.Failed] start one. The
// requester's metadata is returned byte for byte, its spacing included; over
// UnpaidMetadataMax not with a failure that was not billed.
// [ResultHeader] makes the headers that belong to it.
//
// A [Delta] is a piece of an answer that is still being written: best
// effort, so it may be lost. The result is complete without it.
//
// # Large bodies
//
// What is too large for a message is an object of a NATS object store, to which a
// [BodyRef] in the event refers: [Request.SplitBody] and [Request.WithBody] take a
// prompt out of its request and put it back, and a result's object is the whole result.
//
// # Names
//
// [Names] derives every subject and stream name from four settings. Request
// ids are lower case in subjects, whatever their case in bodies.
//
// # Failure codes
//
// A [Code] says why a request failed. The list is closed: [Codes] has them
// all, and metrics, logs and traces use the same values.
//
// # JSON Schema
//
// The folder schema has JSON Schemas (draft 2020-12) of the bodies for backends in
// other languages. They say all that a schema can; what depends on the service's
// settings (callbacks, models, plugins, size) only Rules.Decode knows. Tests compare
// them with the Go types in both directions.
package events
