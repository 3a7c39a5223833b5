// Package telemetry sets up logs, traces and metrics in one place and gives
// the rest of the program short, typed methods for them.
//
// The program calls [Setup] once, hands the [Telemetry] around and calls
// [Telemetry.Shutdown] last. Nothing here is needed for the work itself: with
// tracing off, or with a collector that is dead or hangs, requests are answered
// all the same and only spans are lost.
//
// # The spans of one message
//
//	span                                  kind      started by
//	process gemini.requests               CONSUMER  StartProcess   child of the traceparent in the message
//	├── chat google/gemini-2.5-flash      CLIENT    StartChat      all attempts of one logical call
//	│   ├── POST                          CLIENT    Transport      one attempt
//	│   └── POST                          CLIENT    Transport      the next one (http.request.resend_count = 1)
//	├── publish gemini.responses.…        PRODUCER  StartPublish   its context travels in the result's headers
//	└── ack gemini.requests               CLIENT    StartSettle
//
// Only chat spans have gen_ai attributes. Messaging spans carry the address
// of the NATS server.
//
// Ending a span records its metrics too, with the span's context, so that the
// metrics carry exemplars that lead back to the trace. A step without a span
// reports through a method of [Instruments]. Series that are known in advance
// are reported as 0 from the start.
//
// A request is processed inside the trace of whoever published it. Where the
// queue wait makes such traces too long to be useful, Config.TraceLink starts a
// new trace for each delivery instead and links it to the publisher's.
//
// # Where it goes
//
// Logs go to Config.Output, one line an event; each line carries the trace_id
// and span_id of its context and what [WithLogAttrs] put there. Metrics are
// always served by [Telemetry.MetricsHandler]. The standard OTEL_* variables
// add the rest:
//
//	OTEL_TRACES_EXPORTER            otlp, console, none; unset: otlp where an endpoint is set, else none
//	OTEL_METRICS_EXPORTER           otlp, console, prometheus, none; on top of MetricsHandler, which is always there
//	OTEL_EXPORTER_OTLP_ENDPOINT     and the other OTEL_EXPORTER_OTLP_*, also per signal
//	OTEL_EXPORTER_OTLP_PROTOCOL     http/protobuf (the default), grpc
//	OTEL_PROPAGATORS                tracecontext,baggage unless set; works with tracing off as well
//	OTEL_TRACES_SAMPLER             and OTEL_TRACES_SAMPLER_ARG, OTEL_METRIC_EXPORT_*
//	OTEL_BSP_MAX_QUEUE_SIZE         spans that may wait for an export, 2048 unless set; and the other OTEL_BSP_*
//	OTEL_RESOURCE_ATTRIBUTES        and OTEL_SERVICE_NAME (gemini-client unless set)
//	OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT
//	                                true, span_only, span_and_event: prompts and answers on chat spans; unset, false, no_content: nowhere
//	OTEL_SDK_DISABLED               true: no spans and no metrics; trace context still passes through
//
// An unknown value is an error that names its variable.
//
// The OTLP exporters never use HTTP_PROXY or HTTPS_PROXY: in this program those
// variables are for calls to OpenRouter alone.
//
// Spans that a collector does not take are counted (gemini_spans_lost_total):
// those that found the queue full, and those whose export failed. No request
// waits for an export.
//
// # What is never recorded
//
// Spans hold no header and, unless the operator asks for it, no prompt and no
// answer. Where they are recorded, it is on the chat span alone, as JSON in the
// shape of the conventions: a part's text is cut after 8 KiB, all texts of an
// attribute after 64 KiB, the newest kept, and images, files and sounds are
// named by their type only. Anything that looks like an OpenRouter key is masked
// in every log line and every span, see [Redact]. OpenRouter is not sent our
// trace context.
//
// # Names
//
// The names of spans, attributes and labels are in names.go. What a metric is
// called, in what unit, with which labels and what it means is in definitions.go,
// from which the instruments, their help texts and the table of
// telemetry/README.md are made. Every label's values are bounded:
// models beyond the first fifty are one value. The GenAI conventions are those of
// semantic conventions 1.41.0, the last version that has them; all others are
// 1.43.0.
package telemetry
