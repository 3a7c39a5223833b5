// Package bus is everything that the service knows about NATS. It hands out
// request messages as [Delivery] values, answers one question about each (may I
// call for this request?) and takes one answer (this is how it ended):
//
//	bus.Run ──▶ Delivery ──▶ (the service) ──▶ Bus.Admit ──▶ call or not ──▶ Bus.Settle
//	a free slot              decodes it        claims it,                    keeps dead letter, result
//	first, then                                looks for a result,           or schedule, releases the
//	a message                                  a schedule, a                 claim, then acknowledges
//	                                           cancellation
//
// # Streams
//
// topology.go has them as data, with the reason of each setting beside it.
//
//	GEMINI_REQUESTS     work queue, full = refuse: requests that wait for a worker. A full queue
//	                    refuses its publisher, who then knows. No schedules, rollups or TTLs, so that
//	                    no header of a publisher can touch other requests.
//	GEMINI_RETRIES      work queue with schedules: rescheduled requests (gemini.later.…), and those
//	                    whose schedule has fired (gemini.retries). Apart from the requests, because
//	                    schedules force rollups on. Only the service and operators publish here.
//	GEMINI_RESPONSES    results, and the record of what has been answered. Full = refuse: nothing is
//	                    called for while no result could be stored (sizes.go).
//	GEMINI_CLAIMS       who calls for which request; one message a subject, with TTLs. A heartbeat for
//	                    each process beside them.
//	GEMINI_DEADLETTERS  originals of requests that failed for good. Messages without a usable id
//	                    have a bound of their own in it (bounds.go).
//	GEMINI_CANCELS      cancelled requests.
//
// # How one result a request is kept
//
//   - A result is published with compare-and-set over the request's results
//     (Nats-Expected-Last-Subject-Sequence and -Subject): the server refuses a
//     second one (results.go).
//   - A message is acknowledged only after its result, schedule or dead letter is
//     stored (settle.go), and the acknowledgement is confirmed.
//   - A claim keeps two workers from paying for one request at the same time. It
//     holds as long as its process's heartbeat, which the server's clock ends
//     (claims.go, heartbeat.go, release.go). It also counts the starts of a message
//     that never settled.
//   - A process that was cut off NATS renews its heartbeat before it takes
//     messages, and takes nobody for dead until ten seconds later: the others may
//     have been cut off as well, and their calls go on. So it is with one that starts, if it
//     had to wait for NATS or the lease is longer than that (heartbeat.go).
//   - Slots come first: no more messages are pulled than can be worked on, so none
//     waits in a buffer while its ack timer runs (intake.go, slot.go). Nor are more
//     bytes pulled than the memory budget has room for, and answers that grow wait
//     for it (memory.go). Few results and schedules are looked up at the same time
//     (reads.go).
//   - A queue that does not answer holds up no other: it is not asked in turn until
//     it does (revive.go).
//   - While NATS is away, streams.go repeats what has to happen until it has. What
//     JetStream refuses is sorted in errors.go: an outage is repeated, and what will
//     never be stored is settled in another way; a code that nobody knows is repeated
//     a few times and is the latter then. A result becomes smaller, then a failure,
//     then a dead letter; what can be neither answered nor kept stays in its queue
//     and holds no slot.
//   - Headers of a requester are copied as far as they fit (headers.go).
//   - No request waits longer than half the time for which results and cancellations are kept
//     (Bus.LongestWait), and one that is cancelled while it waits is removed
//     (schedules.go).
//
// pull.go speaks the pull protocol itself, and cancels.go reads in JSON, because a
// message without a body that carries a Status header is taken for a status
// of the server by NATS clients, and any requester can send one.
//
// # What live subscribers hear
//
// A result is published on the subject that core subscribers listen to, so they
// also hear one that the stream refuses in that moment (10071). The way out
// would be to publish to a subject of its own, which the stream transforms, and
// to have the stream republish what it has stored. It works on nats-server
// 2.15.2: the compare-and-set holds on the transformed subject, what is refused
// is not heard, and a stream that exists can be changed. It costs nothing
// measurable for one publisher (5,000 publishes of 2 KiB, one after the other:
// 11,000 to 20,000 a second with or without it) and a quarter to a third of the
// most that the server can store (28,000 to 38,000 a second, not 46,000 to 54,000).
//
// It is not done because it ends rolling upgrades. A stream may not take both
// subjects (10052, a cycle), so from the change on nobody stores the results of
// a worker that publishes as today: paid results would wait in its memory, and
// be paid again when it ends. Live results would also come from another account
// (nats.conf) with five more headers. All that for a second result that only
// a subscriber hears that has been told to be idempotent, and that the stream,
// which decides, does not have. live_test.go holds these facts.
//
// # Rights
//
// Backends, workers and operators are users of three accounts
// (deploy/nats/nats.conf). NATS reports a permission violation
// asynchronously, apart from the request that caused it; [Conn.Do] matches the two.
// A worker may purge and delete nothing: those rights of JetStream's API cannot be
// bound to a subject. It removes a schedule with the right to store one.
package bus
