// Package telemetry sets up logs, traces and metrics in one place and gives
// the rest of the program short, typed verbs for them.
//
// The program calls [Setup] once, hands the [Telemetry] around and calls
// [Telemetry.Shutdown] last. Nothing here is needed for the work itself: with
// tracing off, or with a collector that is dead or hangs, requests are answered
// all the same and only spans are lost.
//
// # What one message leaves behind
//
//	span                                  kind      started by
//	process gemini.requests               CONSUMER  StartProcess   child of the traceparent in the message
//	├── chat google/gemini-2.5-flash      CLIENT    StartChat      all attempts of one logical call
//	│   ├── POST                          CLIENT    Transport      one attempt
//	│   └── POST                          CLIENT    Transport      the next one (http.request.resend_count = 1)
//	├── publish gemini.responses.…        PRODUCER  StartPublish   its context travels in the result's headers
//	└── ack gemini.requests               CLIENT    StartSettle
//
// Ending a span records its metrics too, with the span's context, so that the
// metrics carry exemplars that lead back to the trace. A step that has no span
// reports through a method of [Instruments].
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
//	OTEL_TRACES_SAMPLER             and OTEL_TRACES_SAMPLER_ARG, OTEL_BSP_*, OTEL_METRIC_EXPORT_*
//	OTEL_RESOURCE_ATTRIBUTES        and OTEL_SERVICE_NAME (gemini-client unless set)
//	OTEL_SDK_DISABLED               true: no spans and no metrics; trace context still passes through
//
// A value that is not understood is an error that names its variable.
//
// The OTLP exporters never use HTTP_PROXY or HTTPS_PROXY: in this program those
// variables are for calls to OpenRouter alone.
//
// # What never leaves
//
// Spans hold no prompt, no answer and no header. Anything that looks like an
// OpenRouter key is masked in every log line and every span, see [Redact]. OpenRouter is not sent our trace context.
//
// # Names
//
// Every name is in names.go. The GenAI conventions are those of semantic
// conventions 1.41.0, the last version that has them; all others are 1.43.0.
package telemetry
