// Package upstream gets an answer for a request event from OpenRouter: it is
// everything between the event and the HTTP client (package openrouter).
//
//	request ─▶ chat.go ─▶ policies.go ─────────────────────────────▶ attempt.go ─▶ openrouter
//	           OpenRouter's  retry, model, wait while open, breaker,    one call, classified
//	           request       key, turn (limits)                         where it ends
//
// policies.go shows the whole composition, from outside in. A file a concern:
//
//	caller.go      New, Answer, Run: what the service uses
//	policies.go    the policies, from outside in, and their numbers
//	retry.go       what is repeated, and after which wait
//	breaker.go     the circuit breakers, and waiting while the one of OpenRouter is open
//	models.go      the health of each model; diagnose.go: whether a failure is the model's or OpenRouter's
//	modelpolicy.go the policy that chooses the model of an attempt: the request's, or a fallback
//	retired.go     the models that OpenRouter says are gone
//	otherkeys.go   asking another key before a model is retired that has no endpoint for one
//	failover.go    going on with the next model; served.go: whether another model answered
//	keys.go        the pool of API keys: which may be used now (keys_effect.go: what the end of an attempt does to its key)
//	rests.go       for how long a key, or a model with a key, is left alone
//	keys_budget.go what a key may still spend; keys_watch.go: asking OpenRouter about it
//	keypolicy.go   the policy that chooses a key for an attempt
//	turns.go       the rate limit of a key, where that is this process's alone
//	budgeted.go    what a call may cost is reserved, and settled: package budget
//	estimate.go    what it may cost; prices.go: the prices of OpenRouter's catalogue
//	held.go        whose requests should not be taken, for want of money
//	shared.go      limits that hold for all workers (awaitshared.go: waiting for them; maytake.go: what the intake is told)
//	attempt.go     one attempt with one key; repeat.go: the look before it is repeated
//	classify.go    which class an error belongs to (classify_status.go: what OpenRouter answered)
//	classes.go     the table of classes
//	cancelled.go   what a cancelled call still costs, and calls that are let to finish for it
//	adapt.go       a request as its model takes it (adaptdata.go: the table; adaptturns.go: its messages)
//	room.go        what an attempt waits for memory of ours
//	saving.go      the response cache and the trace; tiers.go: flex without capacity
//	usage.go       what a call consumed and cost
//	catalogue.go   when the models of the configuration expire, by OpenRouter's catalogue (outlook.go: for config)
//	batches.go     OpenRouter's Batch API with the pool of keys: submit, find, read
//	span.go, log.go, status.go  its span, its log lines, its part of the status
//
// What was limited rests: the key, for a limit of the account; one model with that
// key, for a limit of the model's providers, or for answers that are longer than
// the account's credit affords. A rest of KEYS_REST_MAX ends with a probe, however
// long it was asked for. While a model rests with every key its requests ask a
// fallback, else they are rescheduled for the end of the rest and give their slots to
// others: the intake pauses only when no key can be used for anything.
//
// A model that OpenRouter says is gone is retired for the process: the same request goes
// on at once with the next of its models, within one attempt of the retry policy, and
// later ones begin there. Once an hour one request looks whether it is back. What is
// sent as models does not decide: OpenRouter may pass over a model that is gone,
// silently, or refuse the call for it. That no endpoint is left for one key may be due to
// its account: before a model is retired for that, one call asks it with another key.
//
// A call whose answer did not come in time may be billed, so it is repeated once. One
// that waited for memory of ours until CALL_TIMEOUT is rescheduled instead, and says
// nothing about anybody's health.
//
// Health is kept twice, by breakers with the same numbers. A failure counts for its
// model if a provider caused it, if another model has answered lately, or if an
// answer did not come in time though OpenRouter is there. Everything else counts for
// OpenRouter as a whole (see diagnose.go): connections, pages of an edge, its own
// 5xx, and with one model in use an outage of any kind. So an outage stops the
// intake, and a sick model among several stops its own requests: they ask a fallback
// or are rescheduled, the further apart the longer it lasts. A request that has
// timed out counts once against its model, lest a few prompts stop all others.
//
// While OpenRouter is tried again with a few calls, or the only keys there are with
// one each, Limit lets the intake take no more requests than these calls are: those
// that wait in their slots come first.
//
// An error is classified once, into an [*Error]. Policies, key pool, metrics,
// log lines and the service's verdict read that.
package upstream
