package telemetry

import (
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// Names of the conventions' metrics.
const (
	metricChatDuration    = "gen_ai.client.operation.duration"
	metricChatTokens      = "gen_ai.client.token.usage" //nolint:gosec // tokens of text, not credentials
	metricChatFirstChunk  = "gen_ai.client.operation.time_to_first_chunk"
	metricProcessDuration = "messaging.process.duration"
	metricClientDuration  = "messaging.client.operation.duration"
	metricConsumed        = "messaging.client.consumed.messages"
	metricSent            = "messaging.client.sent.messages"
	metricHTTPDuration    = "http.client.request.duration"
)

// Names of our own metrics.
const (
	metricRequests       = "gemini.requests"
	metricCost           = "gemini.cost"
	metricTokens         = "gemini.tokens"
	metricCalls          = "gemini.calls"
	metricKeyCalls       = "gemini.keys.calls"
	metricCacheLookups   = "gemini.cache.lookups"
	metricInFlight       = "gemini.inflight"
	metricSlots          = "gemini.slots"
	metricMemory         = "gemini.memory.in_hand"
	metricMemoryBudget   = "gemini.memory.budget"
	metricSubstituted    = "gemini.substituted"
	metricRetries        = "gemini.retries"
	metricScheduled      = "gemini.scheduled"
	metricClaimsLost     = "gemini.claims.lost"
	metricResultsRefused = "gemini.results.refused"
	metricBreakerState   = "gemini.breaker.state"
	metricModelBreaker   = "gemini.model.breaker.state"
	metricModelExpiry    = "gemini.model.expiry"
	metricKeys           = "gemini.keys"
	metricKeyCredit      = "gemini.keys.remaining"
	metricBudgetLimit    = "gemini.budget.limit"
	metricBudgetSpent    = "gemini.budget.spent"
	metricBudgetReserved = "gemini.budget.reserved"
	metricQueueWait      = "gemini.queue.wait"
	metricDeadLetters    = "gemini.deadletters"
	metricEvicted        = "gemini.deadletters.evicted"
	metricSpansLost      = "gemini.spans.lost"
	metricBatches        = "gemini.batches"
	metricBatchItems     = "gemini.batch.items"
	metricLimitWaits     = "gemini.limits.waits"
	metricLimitWaited    = "gemini.limits.waited"
	metricLimitLost      = "gemini.limits.unanswered"

	// MetricQueueMessages and MetricQueueOldest are read from NATS; see
	// Instruments.ObserveQueues.
	MetricQueueMessages = "gemini.queue.messages"
	MetricQueueOldest   = "gemini.queue.oldest.age"
	MetricQueueSize     = "gemini.queue.size"
	metricQueueLimit    = "gemini.queue.limit"
)

// kind is the type of a metric, as a scrape shows it.
type kind string

const (
	kindCounter   kind = "counter"
	kindGauge     kind = "gauge"
	kindHistogram kind = "histogram"
)

// definition is everything about a metric. The instruments are made from the
// definitions, and so is the table in telemetry/README.md.
type definition struct {
	name    string
	kind    kind
	unit    string // as OpenTelemetry writes it
	labels  []attribute.Key
	bounds  []float64 // of a histogram
	meaning string    // one sentence for people on call; also the help text of a scrape
}

// definitions returns all our metrics, in the order of the table.
func definitions() []definition {
	return slices.Concat(flowMetrics(), stateMetrics(), conventionMetrics())
}

// flowMetrics count what happens to requests.
func flowMetrics() []definition {
	return []definition{
		{metricRequests, kindCounter, "{request}", []attribute.Key{labelVerdict, labelCode, keyRequestModel, labelTenant}, nil, "Deliveries settled, by verdict (completed, failed, rescheduled, duplicate, nacked) and failure code; the rate of failed is the first thing to look at, and code=cancelled counts cancellations."},
		{metricQueueWait, kindHistogram, "s", []attribute.Key{keySystem, keyOperation, keyDestination, keyConsumerGroup}, waitBuckets(), "Time from the storing of a message in its queue until a worker took it, at each delivery; by the clocks of NATS and of the worker."},
		{metricCalls, kindCounter, "{call}", []attribute.Key{labelOutcome, keyRequestModel, labelTenant}, nil, "Attempts to call OpenRouter, by outcome: success or a failure code; failures of attempts that are retried with success never reach a requester."},
		{metricKeyCalls, kindCounter, "{call}", []attribute.Key{labelKey, labelOutcome}, nil, "The same attempts by API key, which is named by its last four characters, as status does."},
		{metricCost, kindCounter, "{USD}", []attribute.Key{keyRequestModel, labelTenant}, nil, "Cost in USD of every attempt for which OpenRouter reported one, failed ones too; its rate is what the service spends."},
		{metricTokens, kindCounter, "{token}", []attribute.Key{labelType, labelTenant}, nil, "Tokens of every attempt for which OpenRouter reported them, by type (input, output) and tenant."},
		{metricCacheLookups, kindCounter, "{call}", []attribute.Key{labelOutcome}, nil, "Answers to calls that asked OpenRouter's response cache, by outcome: hit, which cost nothing, or miss; OpenRouter keeps the cache for each API key apart."},
		{metricSubstituted, kindCounter, "{answer}", []attribute.Key{labelRequested, labelServed}, nil, "Answers of another model than the request asked for, a fallback: the one that was asked for is retired, sick or at its limit; a dated name of the same model, and what an alias or a preset stands for, do not count."},
		{metricRetries, kindCounter, "{retry}", []attribute.Key{labelReason}, nil, "Calls repeated within the same delivery, by the failure code that made it necessary."},
		{metricScheduled, kindCounter, "{request}", []attribute.Key{labelReason}, nil, "Requests rescheduled, by failure code; they wait as schedules (state scheduled of the queues)."},
		{metricDeadLetters, kindCounter, "{message}", []attribute.Key{labelCode}, nil, "Dead letters written, by failure code; each is the original of a request that failed for good, or of a message without a usable id."},
		{metricEvicted, kindCounter, "{message}", nil, nil, "Dead letters that went for want of room while this process watched: their stream was full and the oldest went; every replica counts the same ones, so take max()."},
		{metricResultsRefused, kindCounter, "{result}", nil, nil, "Results that the server refused because another one was stored first; more than a few mean that requests are called for twice."},
		{metricClaimsLost, kindCounter, "{claim}", nil, nil, "Requests that another worker took over while they were still in flight here; it happens when a worker was cut off from NATS."},
		{metricBatches, kindCounter, "{batch}", []attribute.Key{labelOutcome}, nil, "Batches submitted to OpenRouter's Batch API (outcome submitted), and how they ended: completed, split (it failed, and smaller ones take its place), failed, refused, expired, lost or empty."},
		{metricBatchItems, kindCounter, "{request}", []attribute.Key{labelOutcome}, nil, "Requests with tier batch, by outcome: waiting (they wait for one), submitted, answered, or returned (they go on in the ordinary way, or fail)."},
		{metricLimitWaits, kindCounter, "{call}", []attribute.Key{labelLimit}, nil, "Calls that waited for a limit a minute that all workers share, by kind (tenant, model, key); each waits for an answer of NATS at least."},
		{metricLimitWaited, kindCounter, "s", []attribute.Key{labelLimit}, nil, "For how long they waited; divided by the waits, more than some milliseconds mean that the limit is reached."},
		{metricLimitLost, kindCounter, "{increment}", []attribute.Key{labelLimit}, nil, "Increments of a limit's counter without an answer, by kind; after two in a row this worker goes on with the share of the limit that it had, until NATS answers again."},
		{metricSpansLost, kindCounter, "{span}", []attribute.Key{labelReason}, nil, "Spans that never reached the collector: queue_full when it is too slow, export_failed when it is away or refuses; no request suffers."},
	}
}

// stateMetrics show the current state.
func stateMetrics() []definition {
	return []definition{
		{MetricQueueMessages, kindGauge, "{message}", []attribute.Key{labelQueue, labelState}, nil, "Messages by queue and state: waiting, in_flight (delivered and not settled), scheduled (waits for its time), dead (dead letters kept), unsettled (of a tenant's lane, while any tenant is declared: waiting or in_flight; the first 100 tenants by name, the rest as the queue other); every replica reports the same numbers, so take max(); absent while NATS is away."},
		{MetricQueueOldest, kindGauge, "s", []attribute.Key{labelQueue}, nil, "Age of the oldest message that waits for a worker, 0 if none waits; take max(); if it grows, the workers do not keep up or take nothing."},
		{MetricQueueSize, kindGauge, "By", []attribute.Key{labelQueue}, nil, "Size in bytes of the results and of the dead letters; take max()."},
		{metricQueueLimit, kindGauge, "By", []attribute.Key{labelQueue}, nil, "Size in bytes at which NATS stores no more results, or drops the oldest dead letters; absent where there is no limit (RESULTS_MAX_BYTES)."},
		{metricInFlight, kindGauge, "{request}", nil, nil, "Requests in flight in this process; equal to the slots means it is full."},
		{metricSlots, kindGauge, "{slot}", nil, nil, "Requests that may be in flight in this process at once (WORKER_CONCURRENCY)."},
		{metricMemory, kindGauge, "By", nil, nil, "What this process sets aside for the request bodies and answers it has in hand; at the budget it takes no more requests, and answers that grow wait."},
		{metricMemoryBudget, kindGauge, "By", nil, nil, "The bound of gemini_memory_in_hand_bytes (WORKER_MEMORY_BUDGET); absent where there is none."},
		{metricBreakerState, kindGauge, "", nil, nil, "Circuit breaker over OpenRouter: 0 closed, 1 half-open (a few probe calls), 2 open; while it is open nothing is taken from the queues."},
		{metricModelBreaker, kindGauge, "", []attribute.Key{keyRequestModel}, nil, "Circuit breaker of each model that was asked for lately, the same numbers; while it is open this model's requests ask a fallback or are rescheduled, and others are taken."},
		{metricModelExpiry, kindGauge, "s", []attribute.Key{keyRequestModel}, nil, "Seconds until OpenRouter stops offering a model of the configuration, by its catalogue, which is read at start and once a day; negative when that is past, absent where no date is announced."},
		{metricKeys, kindGauge, "{key}", []attribute.Key{labelState}, nil, "API keys by state: usable, or why they are not (rate_limited; unauthorized, insufficient_credits until a call with them has worked, or while OpenRouter says that their time or limit is over); while all cool down nothing is taken from the queues."},
		{metricKeyCredit, kindGauge, "{USD}", nil, nil, "What is left of the limits of the API keys, in USD: what OpenRouter said in the last ten minutes, less what this process has spent since; absent where no key has a limit; every replica has the same keys, so take min()."},
		{metricBudgetLimit, kindGauge, "{USD}", []attribute.Key{labelTenant, labelPeriod}, nil, "What a tenant may spend in this day, week or month (UTC), in USD; $fleet stands for all together (BUDGET); absent where there is no budget, or this process has not called under it in the period; take max() over the replicas."},
		{metricBudgetSpent, kindGauge, "{USD}", []attribute.Key{labelTenant, labelPeriod}, nil, "What is spent of that, in USD, by all workers; it is read every few seconds while calls are made, so take max(); an alert at 0.8 of the limit comes in time."},
		{metricBudgetReserved, kindGauge, "{USD}", []attribute.Key{labelTenant, labelPeriod}, nil, "What calls under way may cost at most, in USD, of all workers; the sum with what is spent never passes the limit; take max()."},
	}
}

// conventionMetrics are those of OpenTelemetry's conventions.
func conventionMetrics() []definition {
	chat := []attribute.Key{keyChatOperation, keyChatProvider, keyRequestModel, keyResponseModel, keyServerAddress, keyServerPort}
	received := []attribute.Key{keySystem, keyOperation, keyDestination, keyConsumerGroup}
	sent := []attribute.Key{keySystem, keyOperation, keyOperationType, keyTemplate, keyErrorType}
	return []definition{
		{metricChatDuration, kindHistogram, "s", append(chat, keyErrorType), chatBuckets(), "Model calls with all their attempts, until the answer is complete."},
		{metricChatFirstChunk, kindHistogram, "s", chat, chatBuckets(), "Time until the first token of an answer (reasoning and tool calls count), waits for retries included."},
		{metricChatTokens, kindHistogram, "{token}", append(chat, keyTokenType), tokenBuckets(), "Tokens of all attempts of a call, by type (input, output)."},
		{metricHTTPDuration, kindHistogram, "s", []attribute.Key{keyMethod, keyStatus, keyErrorType, keyServerAddress, keyServerPort, keyScheme, keyProtocol, keyHTTPVersion}, longBuckets(), "One HTTP request to OpenRouter until its headers, by status; error_type where there was no status: the network or the proxy failed."},
		{metricProcessDuration, kindHistogram, "s", append(received, keyErrorType), longBuckets(), "One delivery from taking it to settling it."},
		{metricConsumed, kindCounter, "{message}", received, nil, "Messages taken from the queues, redeliveries included."},
		{metricSent, kindCounter, "{message}", sent, nil, "Results sent to NATS; error_type where one was not stored: refused (another was first), too_large (a smaller one follows), store (no answer before the process ended)."},
		{metricClientDuration, kindHistogram, "s", append(sent, keyDestination), messagingBuckets(), "Time that NATS took to store a result (publish) or to confirm an acknowledgement (ack); slow means a slow disk or network there."},
	}
}

// chatBuckets are the bounds the GenAI conventions want, in seconds.
func chatBuckets() []float64 {
	return []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
}

// longBuckets go on to what one attempt may take (CALL_TIMEOUT).
func longBuckets() []float64 {
	return append(chatBuckets(), 163.84, 327.68, 655.36)
}

// waitBuckets go on to the days that a queue can be full for.
func waitBuckets() []float64 {
	return []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}
}

// tokenBuckets are the bounds the GenAI conventions want: powers of four.
func tokenBuckets() []float64 {
	bounds := make([]float64, 14)
	for i := range bounds {
		bounds[i] = float64(int64(1) << (2 * i))
	}
	return bounds
}

// messagingBuckets are the bounds the messaging conventions want, in seconds.
// Processing has those of a model call instead, and longer ones.
func messagingBuckets() []float64 {
	return []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
}

// MetricName returns the name that a metric of ours has in a scrape, "" if
// there is none of that name.
func MetricName(name string) string {
	for _, d := range definitions() {
		if d.name == name {
			return d.scraped()
		}
	}
	return ""
}

// scraped is the name as the Prometheus exporter writes it, which appends the
// unit if it is one and not an annotation.
func (d definition) scraped() string {
	name := scrapedName(d.name)
	switch d.unit {
	case "s":
		name += "_seconds"
	case "By":
		name += "_bytes"
	}
	if d.kind == kindCounter {
		name += "_total"
	}
	return name
}

func scrapedName(name string) string { return strings.ReplaceAll(name, ".", "_") }
