// Package service answers request events from NATS JetStream through
// OpenRouter: one result event for each request, whatever fails in between, and
// no call without need.
//
//	JetStream ─▶ consumer ─▶ handler ─▶ policies ─▶ openrouter ─▶ verdict ─▶ publisher ─▶ JetStream
//	             takes a     claimed?   retry,      one HTTP      error →     stores the    PubAck,
//	             free slot,  answered?  breaker,    call, SSE     what to     result        then ack
//	             keeps the   cancelled? keys,       decoded       do          (CAS)
//	             message     expired?   timeouts
//	             alive
//
// Data goes down this line and never back up. A file is a step:
//
//	config*.go       settings from the environment; all mistakes at once
//	connect.go       the NATS connection
//	topology.go      streams and consumers as data; provision.go creates and compares them
//	service.go       New and Run: ties the steps together, starts and stops them
//	consumer.go      takes messages, one for each free slot (pull.go); slot.go keeps one alive and settles it
//	handler.go       the straight line from a delivery to its result; report.go tells of it
//	atwork.go        what this process works on; claims.go what any process works on
//	policies.go      retry, breaker, keys, time limits around a call; keys.go the pool
//	fault.go         the class of an error; verdict.go what follows from it
//	chat.go          request event to OpenRouter request; result.go verdict to result event
//	publisher.go     one result a request, by compare-and-set
//	later.go         schedules; deadletters.go originals of what failed for good
//	live.go          deltas
//	cancels.go       cancellations; cancelwaiting.go those of requests that wait as a schedule
//	accept.go        drops what only an operator may say
//	health.go        /healthz, /readyz, /metrics; statusreply.go the same over NATS
//	lookat.go        what the commands for people on call read as the service does
//
// Delivery is at least once, results are stored once: a result is stored (and
// its PubAck seen) before the request is acknowledged, the server refuses a
// second result for the same request_id on the same callback, and a claim keeps
// two workers from paying for one request at the same time.
//
// Shutdown goes in the order of the flow: no more messages are taken, calls
// under way finish within SHUTDOWN_TIMEOUT, what is left is cut and given back.
package service
