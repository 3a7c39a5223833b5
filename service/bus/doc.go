// Package bus is everything that the service knows about NATS. It hands out
// request messages as [Delivery] values, answers one question about each (may I
// call for this request?) and takes one answer (this is how it ended):
//
//	bus.Run ──▶ Delivery ──▶ (the service) ──▶ Bus.Admit ──▶ call or not ──▶ Bus.Settle
//	a free slot              decodes it        claims it,                    keeps dead letter, result
//	first, then                                looks for a result            or schedule, leaves the
//	a message                                  and a cancellation            claim, then acknowledges
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
//	GEMINI_CLAIMS       who calls for which request, or did; one message a subject, with TTLs. A
//	                    heartbeat for each process beside them.
//	GEMINI_DEADLETTERS  originals of requests that failed for good. Messages without a usable id
//	                    have a bound of their own in it (bounds.go).
//	GEMINI_CANCELS      cancelled requests.
//	GEMINI_BATCH        marks of requests that wait for a batch, and records of batches; made when
//	                    the first request wants it (batch.go).
//	KV_GEMINI_TENANTS   a key-value bucket (ADR-8): what is declared of tenants (tenants.go). The
//	                    service goes on without it.
//	GEMINI_LIMITS       calls and tokens of each half second, counted by all workers together; made
//	                    when something is counted (limits.go).
//	OBJ_GEMINI_BODIES   an object store (ADR-20) of prompts and results too large for a message.
//	                    The service goes on without it (bodies.go).
//
// # Who gets a free slot
//
// Without declared tenants one pull for all free slots waits for requests (alone, in
// intake.go). With them, or while something waits in the slow lane, a free slot goes to the
// lane, and in it to the queue, with the fewest in flight for its weight (share.go gives,
// fair.go decides, sources.go knows the queues). A queue of which nothing is known has a pull
// open for a message or few, which takes no slot: what comes and finds none free goes back at
// once, and its queue is known to wait. So no queue is asked in vain, and no slot idles but
// those that a queue beyond its share leaves to others that are active (keepfree.go).
// Requests of a tenant that may take nothing now (a limit, a budget) wait in their queue;
// those whose deadlines pass meanwhile are answered all the same (overdue.go).
//
// # How one result a request is kept
//
//   - A result is published with compare-and-set over the request's results
//     (Nats-Expected-Last-Subject-Sequence and -Subject): the server refuses a
//     second one (results.go).
//   - A message is acknowledged only after its result, schedule or dead letter is
//     stored (settle.go). Nobody waits for the server to confirm that: if it is
//     lost, the message comes again, and what was stored is found.
//   - A claim keeps two workers from paying for one request at the same time. It
//     holds as long as its process's heartbeat, which the server's clock ends
//     (claims.go, heartbeat.go). It also counts the starts of a message that never
//     settled, for a day.
//   - A claim stays when its result is stored, for two minutes at most. So a claim
//     that is taken where none was, and a look for the result that finds none, say
//     together that nobody has called, whichever of them came first.
//   - What asks to be admitted at the same time is claimed and looked up in one round
//     trip (rounds.go). Whatever is not simply new goes on by itself (admit.go).
//   - What ends without a completed result leaves a mark in the place of its claim, if
//     the next one has to know of it: that it waits as a schedule, was given back,
//     crashed, or may be replayed (marks.go). Schedules are looked for only where a
//     claim or a mark was found, or a message was delivered before. The claims of
//     calls that take longer than a minute are renewed by one loop (renewals.go).
//   - Of two messages of one request in the queue only the later may be acknowledged
//     for the other one: so the first stays until its request is settled (yield, in
//     claims.go).
//   - A process that was cut off NATS renews its heartbeat before it takes
//     messages, and takes nobody for dead until ten seconds later: the others may
//     have been cut off as well, and their calls go on. So it is with one that starts, if it
//     had to wait for NATS or the lease is longer than that (heartbeat.go). After so
//     long a cut that claims may have ended it takes nothing at all meanwhile: those
//     whose calls go on store theirs again.
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
// Nearly no request was cancelled, and each looks whether it was. So a worker keeps the
// ids that were, and asks about a request only where it may have missed one: at the
// start, after a reconnect, until it has read what the stream has, where it does not
// hear all, where there are more than it keeps, and always in a cluster of servers
// (cancels.go, cancelset.go, cancelwatch.go).
//
// pull.go speaks the pull protocol itself, and cancels.go reads in JSON, because a
// message without a body that carries a Status header is taken for a status
// of the server by NATS clients, and any requester can send one.
//
// # Tenants
//
// Each tenant has two subjects in GEMINI_REQUESTS, listed one by one, and a consumer for
// each (topology_tenants.go). People declare it (declarations.go): consumers first, then
// subjects, then the record, so nobody can publish what nobody reads. The subjects are one
// list that JetStream replaces as a whole and without a condition, so whoever has changed
// it compares it with the records afterwards (tenants_subjects.go). Workers read all records
// with one question (tenants.go).
//
// # Two versions side by side
//
// A worker of a version before the marks reads them as claims of processes that are
// dead, which is what they are to it: it takes them over, and looks for a result, a
// schedule and a cancellation of each request. But it empties its claims when it has
// stored a result or a schedule. So while it runs beside newer ones a second copy of a
// request that it works on may be called for a second time, if it comes within
// milliseconds of the result, or while the first waits as a schedule: the second result
// is refused then. Requests that are sent once are not concerned.
//
// # How the server is asked
//
// All replies come to one subscription and are told apart by a token (mux.go).
// A publish takes a callback (publisher.go), and one question looks for the results of
// many requests (multilast.go).
//
// With NATS_GROUP_COMMIT, claims and results that wait at the same time are stored
// together, as an atomic batch (group.go). It is for a server that flushes each message
// to the disk (sync_interval: always): it flushes a batch once. Elsewhere a batch is the
// slower way. A client cannot ask which of the two a server is, and how long its answers
// take does not tell: hence a setting. The server refuses a batch as a whole; then each
// message of it is published again by itself. It compares each message with what was
// stored before the batch, so no two of one request are in one. A batch whose
// acknowledgement is lost may be stored: those who published are told what they are told
// of one message, and publish again, each on its condition.
//
// # What live subscribers hear
//
// A result is published on the subject that core subscribers listen to, so they
// also hear one that the stream refuses in that moment (10071), and one twice whose
// batch was refused. The way out would be to publish to a subject of its own, which the
// stream transforms, and to have the stream republish what it has stored. It works on nats-server
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
