package telemetry

import (
	"go.opentelemetry.io/otel/attribute"
	genai "go.opentelemetry.io/otel/semconv/v1.41.0"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// ScopeName is the instrumentation scope of our spans and metrics, and the
// default service.name.
const ScopeName = "gemini-client"

// Operations, the first word of a span's name.
const (
	operationChat    = "chat"
	operationProcess = "process"
	operationPublish = "publish"
)

// Types of messaging operations and of tokens, a closed list of the conventions.
const (
	typeProcess = "process"
	typeSend    = "send"
	typeSettle  = "settle"
	typeInput   = "input"
	typeOutput  = "output"
)

// Values that are the same on every span.
const (
	providerOpenRouter = "openrouter"
	systemNATS         = "nats"
	errorTypeOther     = "_OTHER"
	eventRetry         = "gemini.retry"
)

// What became of a look into OpenRouter's response cache, a closed list.
const (
	cacheHit  = "hit"
	cacheMiss = "miss"
)

// Why a span was lost, a closed list.
const (
	lostQueueFull    = "queue_full"
	lostExportFailed = "export_failed"
)

// Attributes of chat spans and chat metrics. No other span may have a gen_ai
// attribute: Jaeger would take it for a model call.
const (
	keyChatOperation     = genai.GenAIOperationNameKey
	keyChatProvider      = genai.GenAIProviderNameKey
	keyChatOutputType    = genai.GenAIOutputTypeKey
	keyRequestModel      = genai.GenAIRequestModelKey
	keyRequestTemp       = genai.GenAIRequestTemperatureKey
	keyRequestTopP       = genai.GenAIRequestTopPKey
	keyRequestTopK       = genai.GenAIRequestTopKKey
	keyRequestMaxTokens  = genai.GenAIRequestMaxTokensKey
	keyRequestStop       = genai.GenAIRequestStopSequencesKey
	keyRequestStream     = genai.GenAIRequestStreamKey
	keyRequestSeed       = genai.GenAIRequestSeedKey
	keyRequestFrequency  = genai.GenAIRequestFrequencyPenaltyKey
	keyRequestPresence   = genai.GenAIRequestPresencePenaltyKey
	keyInputMessages     = genai.GenAIInputMessagesKey
	keyOutputMessages    = genai.GenAIOutputMessagesKey
	keyInstructions      = genai.GenAISystemInstructionsKey
	keyResponseID        = genai.GenAIResponseIDKey
	keyResponseModel     = genai.GenAIResponseModelKey
	keyResponseFinish    = genai.GenAIResponseFinishReasonsKey
	keyResponseFirst     = genai.GenAIResponseTimeToFirstChunkKey
	keyUsageInput        = genai.GenAIUsageInputTokensKey
	keyUsageOutput       = genai.GenAIUsageOutputTokensKey
	keyUsageCached       = genai.GenAIUsageCacheReadInputTokensKey
	keyUsageReasoning    = genai.GenAIUsageReasoningOutputTokensKey
	keyTokenType         = genai.GenAITokenTypeKey
	keyUpstreamProvider  = attribute.Key("openrouter.provider")
	keyUpstreamUsageCost = attribute.Key("openrouter.usage.cost")
	keyUpstreamTier      = attribute.Key("openrouter.service_tier")
	keyUpstreamCacheHit  = attribute.Key("openrouter.cache.hit")
	keyUpstreamModel     = attribute.Key("openrouter.request.model") // of HTTP spans
)

// Attributes of messaging spans and metrics. The conventions know no NATS; its
// own keys follow their rule of messaging.<system>.
const (
	keySystem         = semconv.MessagingSystemKey
	keyOperation      = semconv.MessagingOperationNameKey
	keyOperationType  = semconv.MessagingOperationTypeKey
	keyDestination    = semconv.MessagingDestinationNameKey
	keyTemplate       = semconv.MessagingDestinationTemplateKey
	keyConsumerGroup  = semconv.MessagingConsumerGroupNameKey
	keyMessageID      = semconv.MessagingMessageIDKey
	keyConversation   = semconv.MessagingMessageConversationIDKey
	keyStream         = attribute.Key("messaging.nats.stream")
	keyConsumer       = attribute.Key("messaging.nats.consumer")
	keyStreamSequence = attribute.Key("messaging.nats.sequence.stream")
	keyDeliveryCount  = attribute.Key("messaging.nats.delivery_count")
)

// Attributes of both, of HTTP spans, and our own.
const (
	keyErrorType     = semconv.ErrorTypeKey
	keyServerAddress = semconv.ServerAddressKey
	keyServerPort    = semconv.ServerPortKey
	keyResendCount   = semconv.HTTPRequestResendCountKey
	keyMethod        = semconv.HTTPRequestMethodKey
	keyStatus        = semconv.HTTPResponseStatusCodeKey
	keyScheme        = semconv.URLSchemeKey
	keyProtocol      = semconv.NetworkProtocolNameKey
	keyHTTPVersion   = semconv.NetworkProtocolVersionKey
	keyRequestID     = attribute.Key("gemini.request.id")
	keyTenant        = attribute.Key("gemini.tenant")
	keySpanVerdict   = attribute.Key("gemini.verdict")
	keySpanCode      = attribute.Key("gemini.code")
	keyRetryAttempt  = attribute.Key("gemini.retry.attempt")
	keyRetryReason   = attribute.Key("gemini.retry.reason")
	keyRetryWait     = attribute.Key("gemini.retry.wait_seconds")
)

// Labels of our own metrics, short because they are typed into queries. The
// model is labelled as on the chat metrics, keyRequestModel.
const (
	labelVerdict = attribute.Key("verdict")
	labelCode    = attribute.Key("code")
	labelOutcome = attribute.Key("outcome")
	labelKey     = attribute.Key("key") // the end of an API key
	labelReason  = attribute.Key("reason")
	labelState   = attribute.Key("state")
	labelQueue   = attribute.Key("queue")
	labelTenant  = attribute.Key("tenant")
	labelType    = attribute.Key("type")
	labelLimit   = attribute.Key("limit")
	labelPeriod  = attribute.Key("period")

	labelRequested = attribute.Key("requested")
	labelServed    = attribute.Key("served")
)

// Fields of a log line.
const (
	logTraceID = "trace_id"
	logSpanID  = "span_id"
)
