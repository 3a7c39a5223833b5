// Package service answers request events from NATS JetStream through
// OpenRouter: one result event for each request, whatever fails in between, and
// no call that is not needed.
//
//	bus.Run ─▶ deliver ─▶ decode ─▶ Admit ──────▶ decide ─▶ Answer ───▶ verdict ───▶ Settle
//	           span,      events'   claimed?      crash     retry,      completed    dead letter,
//	           metrics,   rules     answered?     loop?     breaker,    failed       result or schedule;
//	           log line             rescheduled?  broken?   key, rate   rescheduled  then the claim,
//	                                cancelled?              timeout                  then ack or nack
//	                                expired?
//
// Package bus is everything before deliver and behind Admit and Settle, package
// upstream everything behind Answer. Data goes down this line and never back up.
// A file is a step:
//
//	service.go    New and Run: ties the steps together and starts them; stop.go stops them
//	interfaces.go what the steps need of the bus and of upstream
//	handler.go    one delivery, from its bytes to its stored result
//	admission.go  may it be called for now, and what becomes of it if not
//	inflight.go   the requests that this process works on
//	crashloop.go  requests that keep crashing their workers
//	verdict.go    how a request ends; outcome.go names what became of a delivery
//	result.go     a verdict as a result event, or as the headers of the next delivery
//	report.go     span, metrics and log line of a delivery
//	batching.go   requests with tier batch wait as schedules; batchitems.go answers them
//	cancelled.go  cancellations of requests that wait as a schedule
//	panics.go     a panic is the failure of one request
//	unanswerable.go what can be neither answered nor kept
//	health.go     /healthz, /readyz and the reply on the status subject
//
// Delivery is at least once, results are stored once: a result is stored (and
// its PubAck received) before the request is acknowledged, the server refuses a
// second result for the same request_id on the same callback, and a claim keeps
// two workers from paying for one request at the same time.
//
// Shutdown goes in the order of the flow: no more messages are taken, calls in
// flight finish within SHUTDOWN_TIMEOUT, what is left is cut and nacked, or goes
// back as a schedule that carries what was billed.
package service
