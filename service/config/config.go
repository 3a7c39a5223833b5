package config

import "time"

// Config is every setting of the service. [Load] fills it. The tags of a field
// are cleanenv's: its variables (the current name first, then older names that
// still work), its default and its meaning. The table of settings and
// `gemini-client config` are made from them. A field tagged secret is masked
// wherever it is shown: all of it ("true"), or user and password of its URLs
// ("url").
type Config struct {
	OpenRouter
	Queue
	Worker
	NATS
	Process
}

// OpenRouter says whom to call, with which keys and through which proxy.
type OpenRouter struct {
	APIKeys        List   `yaml:"openrouter_api_keys" env:"OPENROUTER_API_KEYS,GEMINI_API_KEYS" env-description:"OpenRouter keys, separated by commas; a request uses one of them" secret:"true"`
	APIKeysFile    string `yaml:"openrouter_api_keys_file" env:"OPENROUTER_API_KEYS_FILE" env-description:"file with the keys, one a line or separated by commas (a Docker or Kubernetes secret); read again when it changes, without a restart"`
	BaseURL        string `yaml:"openrouter_base_url" env:"OPENROUTER_BASE_URL" env-default:"https://openrouter.ai/api/v1" env-description:"OpenRouter's API; http:// only on loopback, or with keys that are not real"`
	Model          string `yaml:"openrouter_model" env:"OPENROUTER_MODEL,GEMINI_MODEL_TEXT" env-default:"google/gemini-2.5-flash" env-description:"model of a request that names none"`
	FallbackModels List   `yaml:"openrouter_fallback_models" env:"OPENROUTER_FALLBACK_MODELS" env-default:"google/gemini-3.5-flash-lite" env-description:"models to try in turn when the first cannot answer, two at most: OpenRouter tries them (sent as models), and the service asks them when the first is retired, is sick or rests; none = no fallback. The default is left out where MODELS_ALLOW does not allow it"`
	ModelFallback  string `yaml:"model_fallback" env:"MODEL_FALLBACK" env-default:"always" env-description:"always: the fallbacks may answer any request; never: a request that names its model is answered by that model, or by those of its own openrouter.models, or fails"`
	SiteURL        string `yaml:"openrouter_site_url" env:"OPENROUTER_SITE_URL" env-description:"sent as HTTP-Referer, for OpenRouter's attribution"`
	SiteName       string `yaml:"openrouter_site_name" env:"OPENROUTER_SITE_NAME" env-description:"sent as X-OpenRouter-Title, for OpenRouter's attribution"`
	HTTPProxy      string `yaml:"http_proxy" env:"HTTP_PROXY" env-description:"proxy of the OpenRouter calls, and of nothing else: http, https or socks5 (http://hysteria2:8080)" secret:"url"`
	NoProxy        string `yaml:"no_proxy" env:"NO_PROXY" env-description:"hosts that are called without the proxy"`

	Cache CacheTTL `yaml:"openrouter_cache" env:"OPENROUTER_CACHE" env-default:"off" env-description:"for how long OpenRouter's response cache may answer an equal request again, for nothing: 1s to 24h, or off; a request's cache_ttl overrides it"`
	Trace bool     `yaml:"openrouter_trace" env:"OPENROUTER_TRACE" env-default:"false" env-description:"send trace_id and parent_span_id of the call's span in OpenRouter's field trace, for its Broadcast; never with a call that uses the response cache, which it would defeat"`

	KeysMaxPerMinute         int         `yaml:"keys_max_per_minute" env:"KEYS_MAX_PER_MINUTE" env-default:"0" env-description:"calls a minute with one key, of all workers together (KEYS_LIMIT_SCOPE); 0 = no limit (it was 10 for Gemini's free tier; OpenRouter has none for paid models)"`
	KeysMaxTokensPerMinute   int         `yaml:"keys_max_tokens_per_minute" env:"KEYS_MAX_TOKENS_PER_MINUTE" env-default:"0" env-description:"tokens a minute with one key, prompts and answers, of all workers together; 0 = no limit. A call counts as a fourth of its bytes and max_output_tokens until its usage is known"`
	KeysLimitScope           string      `yaml:"keys_limit_scope" env:"KEYS_LIMIT_SCOPE" env-default:"fleet" env-description:"fleet: KEYS_MAX_PER_MINUTE holds for all workers together; process: for each worker by itself, spread evenly, as it was before"`
	ModelsMaxPerMinute       ModelLimits `yaml:"models_max_per_minute" env:"MODELS_MAX_PER_MINUTE" env-description:"calls a minute of each model, of all workers together, such as google/gemini-2.5-flash=600,google/*=1000: the first glob that matches counts; 0 or no match = no limit"`
	ModelsMaxTokensPerMinute ModelLimits `yaml:"models_max_tokens_per_minute" env:"MODELS_MAX_TOKENS_PER_MINUTE" env-description:"tokens a minute of each model, prompts and answers, of all workers together; as MODELS_MAX_PER_MINUTE"`
	KeysCooldownSeconds      int         `yaml:"keys_cooldown_seconds" env:"KEYS_COOLDOWN_SECONDS" env-default:"60" env-description:"cool-down of a key, in seconds, after a 429 without Retry-After; KEYS_REST_MAX bounds it"`

	KeysRestMax time.Duration `yaml:"keys_rest_max" env:"KEYS_REST_MAX" env-default:"10m" env-description:"longest rest of a key, or of a model with a key, whatever Retry-After asks for: then one call probes it"`

	FirstTokenTimeout time.Duration `yaml:"first_token_timeout" env:"FIRST_TOKEN_TIMEOUT" env-default:"60s" env-description:"longest wait for the first token of an answer"`
	TokenGapTimeout   time.Duration `yaml:"token_gap_timeout" env:"TOKEN_GAP_TIMEOUT" env-default:"30s" env-description:"longest silence between two tokens"`
	CallTimeout       time.Duration `yaml:"call_timeout" env:"CALL_TIMEOUT" env-default:"10m" env-description:"longest single call"`

	FleetBudget     Budget `yaml:"budget" env:"BUDGET" env-description:"USD that all workers together may spend in a day, week or month (UTC), such as 5/day,100/month; what a call may cost is reserved before it; empty = no bound"`
	BudgetOnDeath   string `yaml:"budget_on_death" env:"BUDGET_ON_DEATH" env-default:"book" env-description:"what becomes of what a killed worker had reserved, in every budget: book = it counts as spent, as providers bill calls that were cut off; release = it is given back"`
	BudgetWhenSpent string `yaml:"budget_when_spent" env:"BUDGET_WHEN_SPENT" env-default:"hold" env-description:"what becomes of requests while BUDGET is used up: hold = they wait for the next period; fail = they fail (budget_exceeded). Each tenant has its own choice for its own budget"`

	CancelWaits bool `yaml:"cancel_waits" env:"CANCEL_WAITS" env-default:"false" env-description:"let the call of a cancelled request finish where its provider bills it all the same, so that its cost is logged and counted; the result does not wait. At most a quarter of WORKER_CONCURRENCY at once, with requests of 4 MiB in all"`
}

// Queue says which requests are accepted, where results go, how failed requests
// are rescheduled and what the streams keep.
type Queue struct {
	RequestQueue  string `yaml:"request_queue" env:"REQUEST_QUEUE" env-default:"gemini.requests" env-description:"subject of the requests"`
	ResponseQueue string `yaml:"response_queue" env:"RESPONSE_QUEUE" env-default:"gemini.responses" env-description:"prefix of the results' subjects: <queue>.completed.<request_id> and <queue>.failed.<request_id>"`
	SubjectPrefix string `yaml:"subject_prefix" env:"SUBJECT_PREFIX" env-default:"gemini" env-description:"prefix of the service's own subjects (retries, later, claims, deadletters, deltas, cancels, status, batch)"`
	StreamPrefix  string `yaml:"stream_prefix" env:"STREAM_PREFIX" env-default:"GEMINI" env-description:"prefix of the streams' names"`

	CallbackAllow List `yaml:"callback_allow" env:"CALLBACK_ALLOW" env-description:"values that callback_queue may have; empty = RESPONSE_QUEUE only"`
	ModelsAllow   List `yaml:"models_allow" env:"MODELS_ALLOW" env-default:"google/*,~google/*" env-description:"models that a request may name (globs)"`
	PluginsAllow  List `yaml:"plugins_allow" env:"PLUGINS_ALLOW" env-description:"OpenRouter plugins and server tools that a request may use; each changes the price; empty = none"`

	PriceTiersAllow List          `yaml:"price_tiers_allow" env:"PRICE_TIERS_ALLOW" env-description:"values of OpenRouter's service_tier that a request may use besides auto and default, such as flex,priority; the suffix :nitro needs priority; empty = none"`
	BatchMaxWait    time.Duration `yaml:"batch_max_wait" env:"BATCH_MAX_WAIT" env-default:"10m" env-description:"how long requests with tier \"batch\" are collected before they go to OpenRouter's Batch API, at about half the price: 1s to 24h, sooner if there are enough; 0 = no batches, they are answered in the ordinary way"`

	RetryDelays       []int `yaml:"queue_retry_delays" env:"QUEUE_RETRY_DELAYS" env-default:"60,600,3600,86400" env-description:"seconds until a failed request is tried again: first, second, ... reschedule; the last repeats"`
	MaxRetries        int   `yaml:"queue_max_retries" env:"QUEUE_MAX_RETRIES" env-default:"4" env-description:"how often a failed request is rescheduled before it fails for good"`
	TimeoutMaxRetries int   `yaml:"timeout_max_retries" env:"TIMEOUT_MAX_RETRIES" env-default:"2" env-description:"how often a request whose answer did not come in time (FIRST_TOKEN_TIMEOUT, TOKEN_GAP_TIMEOUT, CALL_TIMEOUT) is rescheduled before it fails for good: such calls may be billed"`

	RequestMaxBytes     Size          `yaml:"request_max_bytes" env:"REQUEST_MAX_BYTES" env-default:"0" env-description:"largest request body, and largest object that one refers to; 0 = what the server lets through (max_payload less 16 KiB), and 64 MiB"`
	RequestsMaxBytes    Size          `yaml:"requests_max_bytes" env:"REQUESTS_MAX_BYTES" env-default:"1GiB" env-description:"size of the request queue, and again of the object store for what is too large for a message; each refuses the publisher when it is full. Leave two thirds of the account's storage to the other streams"`
	ResultsMaxAge       time.Duration `yaml:"results_max_age" env:"RESULTS_MAX_AGE" env-default:"168h" env-description:"how long results are kept; they are also the record of what has been answered, and no request waits longer than half of it"`
	ResultsMaxBytes     Size          `yaml:"results_max_bytes" env:"RESULTS_MAX_BYTES" env-default:"0" env-description:"size of the results; while it is used up nothing is called for, and no result is dropped. JetStream sets it aside; 0 = as much as the account's storage has room for"`
	DeadlettersMaxBytes Size          `yaml:"deadletters_max_bytes" env:"DEADLETTERS_MAX_BYTES" env-default:"256MiB" env-description:"size of the dead letters, at least that of the largest request; beyond it the oldest go, so that they cannot fill the disk that results need. A quarter of it is set aside beside it for messages without a usable id"`
	DeadlettersMaxAge   time.Duration `yaml:"deadletters_max_age" env:"DEADLETTERS_MAX_AGE" env-default:"720h" env-description:"how long the originals of failed requests are kept"`
}

// Worker bounds the requests in flight and how long each of them may take.
type Worker struct {
	Concurrency     int           `yaml:"worker_concurrency" env:"WORKER_CONCURRENCY,WORKER_PREFETCH_COUNT" env-default:"100" env-description:"requests in flight at once in this process, 1 to 20000 (WORKER_PREFETCH_COUNT is its old name)"`
	Lanes           Lanes         `yaml:"lanes" env:"LANES" env-default:"interactive:8,batch:1" env-description:"how the slots are shared between the lanes while requests wait in both; a tenth of the slots is kept free of the batch lane, so that an interactive request finds one"`
	MemoryBudget    Size          `yaml:"worker_memory_budget" env:"WORKER_MEMORY_BUDGET" env-default:"0" env-description:"memory for the request bodies and answers that this process has in hand (a byte of them counts five times, as it is copied and collected): no more requests are taken than fit, a larger one is taken alone; 0 = half of the memory that the process may use, the least of GOMEMLIMIT, the container's limit and, without these, the machine's memory"`
	AckWait         time.Duration `yaml:"ack_wait" env:"ACK_WAIT" env-default:"30s" env-description:"JetStream's ack wait: a request whose worker has been silent for so long is delivered again; applied when the consumers are created"`
	RetryWaitMax    time.Duration `yaml:"retry_wait_max" env:"RETRY_WAIT_MAX" env-default:"20s" env-description:"longest wait between two attempts in the process; for a longer one (Retry-After) the request is rescheduled"`
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout" env:"SHUTDOWN_TIMEOUT" env-default:"25s" env-description:"how long calls in flight may finish after SIGTERM"`
	MaxStrikes      int           `yaml:"max_strikes" env:"MAX_STRIKES" env-default:"3" env-description:"how many times a suspected crash loop is rescheduled before the request fails (redelivery_exhausted)"`
}

// NATS says where the servers are, how to log in and what to create there.
type NATS struct {
	Context      string `yaml:"nats_context" env:"NATS_CONTEXT" env-description:"context of the nats CLI that says where the servers are and how to log in: its name, or the path of its file; the flag --context goes over it. A variable below that is set goes over what the context says, and the context over a YAML file; empty = none, whichever the CLI has selected"`
	URL          string `yaml:"nats_url" env:"NATS_URL" env-default:"nats://127.0.0.1:4222" env-description:"servers, separated by commas" secret:"url"`
	Creds        string `yaml:"nats_creds" env:"NATS_CREDS" env-description:"credentials file (JWT and NKey); read again at each reconnect"`
	User         string `yaml:"nats_user" env:"NATS_USER" env-description:"user name"`
	Password     string `yaml:"nats_password" env:"NATS_PASSWORD" env-description:"password" secret:"true"`
	PasswordFile string `yaml:"nats_password_file" env:"NATS_PASSWORD_FILE" env-description:"file with the password (a Docker or Kubernetes secret)"`
	TLSCA        string `yaml:"nats_tls_ca" env:"NATS_TLS_CA" env-description:"PEM file of the authority that signed the servers' certificates"`
	TLSCert      string `yaml:"nats_tls_cert" env:"NATS_TLS_CERT" env-description:"PEM file of our certificate"`
	TLSKey       string `yaml:"nats_tls_key" env:"NATS_TLS_KEY" env-description:"PEM file of our certificate's key"`
	TLSFirst     bool   `yaml:"nats_tls_first" env:"NATS_TLS_FIRST" env-default:"false" env-description:"TLS before the server's greeting (handshake_first)"`
	InboxPrefix  string `yaml:"nats_inbox_prefix" env:"NATS_INBOX_PREFIX" env-default:"_INBOX" env-description:"prefix of our inboxes, so that permissions can keep them apart"`
	APIPrefix    string `yaml:"nats_js_api_prefix" env:"NATS_JS_API_PREFIX" env-default:"$JS.API" env-description:"prefix of JetStream's API: $JS.<domain>.API in a domain, or what an account imports it as (gemini.js in deploy/nats/nats.conf)"`
	Provision    bool   `yaml:"nats_provision" env:"NATS_PROVISION" env-default:"true" env-description:"create missing streams and consumers at start; false = only bind to them"`
	GroupCommit  bool   `yaml:"nats_group_commit" env:"NATS_GROUP_COMMIT" env-default:"false" env-description:"store claims and results that wait at the same time together, in atomic batches: for a server with sync_interval: always, which flushes a batch once; streams with one copy only"`
	Replicas     int    `yaml:"nats_replicas" env:"NATS_REPLICAS" env-default:"1" env-description:"copies of each stream that we create (1, 3 or 5)"`
	Embedded     bool   `yaml:"nats_embedded" env:"NATS_EMBEDDED" env-default:"false" env-description:"run a NATS server in this process, on NATS_URL, which has to be loopback"`
	StoreDir     string `yaml:"nats_store_dir" env:"NATS_STORE_DIR" env-default:".data/nats" env-description:"where the embedded server keeps its streams"`
}

// Process says how this process shows its health, logs and traces.
type Process struct {
	HTTPAddr  string `yaml:"http_addr" env:"HTTP_ADDR" env-default:":8080" env-description:"address of /healthz, /readyz and /metrics; empty = none"`
	DebugAddr string `yaml:"debug_addr" env:"DEBUG_ADDR" env-description:"address of Go's profiles, /debug/pprof/, for people who look into a running worker: 127.0.0.1:6060; another host than loopback only with DEBUG_ALLOW_REMOTE; empty = none"`
	// DebugAllowRemote is beside it, lest a port that stops the world for who asks is open by mistake.
	DebugAllowRemote bool   `yaml:"debug_allow_remote" env:"DEBUG_ALLOW_REMOTE" env-default:"false" env-description:"let DEBUG_ADDR be any address: whoever reaches it can slow this process down and see its stacks, though no key, prompt or answer"`
	LogLevel         string `yaml:"log_level" env:"LOG_LEVEL" env-default:"INFO" env-description:"DEBUG, INFO, WARN (WARNING), ERROR or CRITICAL"`
	LogFormat        string `yaml:"log_format" env:"LOG_FORMAT" env-default:"text" env-description:"text or json"`
	TraceMode        string `yaml:"trace_mode" env:"TRACE_MODE" env-default:"parent" env-description:"parent: a request's spans belong to the publisher's trace; link: each request has a trace of its own, linked to the publisher's"`
}
