package telemetry

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const (
	exporterOTLP       = "otlp"
	exporterConsole    = "console"
	exporterPrometheus = "prometheus"
	exporterNone       = "none"

	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"

	signalTraces  = "TRACES"
	signalMetrics = "METRICS"
)

// environment is what the OTEL_* variables ask for, as far as the SDK does not
// read them itself.
type environment struct {
	disabled   bool
	traces     signal
	metrics    signal
	propagator propagation.TextMapPropagator
}

// signal says where the spans or the metrics go.
type signal struct {
	exporters []string
	protocol  string
	queue     int  // spans that may wait for an export
	capture   bool // record prompts and answers
}

// readEnvironment reads and checks the OTEL_* variables. Its error names every
// one that is wrong.
func readEnvironment() (environment, error) {
	propagator, err := readPropagator()
	errs := []error{err}
	e := environment{
		disabled:   strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true"),
		propagator: propagator,
	}
	if !e.disabled {
		e.traces, err = readSignal(signalTraces, exporterOTLP, exporterConsole)
		errs = append(errs, err, checkSampler())
		e.traces.queue, err = readQueueSize()
		errs = append(errs, err)
		e.traces.capture, err = readCapture()
		errs = append(errs, err)
		e.metrics, err = readSignal(signalMetrics, exporterOTLP, exporterConsole, exporterPrometheus)
		errs = append(errs, err)
	}
	return e, errors.Join(errs...)
}

func readPropagator() (propagation.TextMapPropagator, error) {
	names := split(getenv("OTEL_PROPAGATORS"))
	if len(names) == 0 {
		names = []string{"tracecontext", "baggage"}
	}
	propagator, err := autoprop.TextMapPropagator(names...)
	if err != nil {
		return nil, fmt.Errorf("OTEL_PROPAGATORS: %w", err)
	}
	return propagator, nil
}

func readSignal(name string, allowed ...string) (signal, error) {
	variable := "OTEL_" + name + "_EXPORTER"
	chosen := split(getenv(variable))
	// Metrics are pulled by default, so an endpoint set for the spans must not
	// make us push them as well.
	if len(chosen) == 0 && name == signalTraces && hasEndpoint(name) {
		chosen = []string{exporterOTLP}
	}
	if slices.Contains(chosen, exporterNone) {
		return signal{}, nil
	}
	for _, exporter := range chosen {
		if !slices.Contains(allowed, exporter) {
			return signal{}, fmt.Errorf("%s: unknown exporter %q, want %s or none", variable, exporter, strings.Join(allowed, ", "))
		}
	}
	s := signal{exporters: chosen}
	if !slices.Contains(chosen, exporterOTLP) {
		return s, nil
	}
	protocol, err := readProtocol(name)
	if err != nil {
		return signal{}, err
	}
	s.protocol = protocol
	return s, checkEndpoints(name, protocol)
}

func readProtocol(signalName string) (string, error) {
	for _, variable := range forSignal(signalName, "PROTOCOL") {
		switch value := getenv(variable); value {
		case "":
		case protocolGRPC, protocolHTTP:
			return value, nil
		default:
			return "", fmt.Errorf("%s: unknown protocol %q, want %s or %s", variable, value, protocolHTTP, protocolGRPC)
		}
	}
	return protocolHTTP, nil
}

// checkEndpoints refuses what the exporters would silently replace by localhost.
func checkEndpoints(signalName, protocol string) error {
	var errs []error
	for _, variable := range forSignal(signalName, "ENDPOINT") {
		value := getenv(variable)
		if value == "" {
			continue
		}
		endpoint, err := url.Parse(value)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: not a URL, want one such as http://collector:4318", variable))
		case protocol == protocolHTTP && (endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https"):
			errs = append(errs, fmt.Errorf("%s: want a URL that begins with http:// or https://", variable))
		}
	}
	return errors.Join(errs...)
}

// checkSampler refuses what the SDK would silently replace by its default.
func checkSampler() error {
	name := strings.ToLower(getenv("OTEL_TRACES_SAMPLER"))
	switch name {
	case "", "always_on", "always_off", "parentbased_always_on", "parentbased_always_off":
		return nil
	case "traceidratio", "parentbased_traceidratio":
		arg := getenv("OTEL_TRACES_SAMPLER_ARG")
		if ratio, err := strconv.ParseFloat(arg, 64); arg != "" && (err != nil || !(ratio >= 0 && ratio <= 1)) {
			return fmt.Errorf("OTEL_TRACES_SAMPLER_ARG: %q is not a number from 0 to 1", arg)
		}
		return nil
	default:
		return fmt.Errorf("OTEL_TRACES_SAMPLER: unknown sampler %q", name)
	}
}

// readQueueSize reads how many spans may wait, as the SDK does, but refuses what
// the SDK would silently replace, or panic at.
func readQueueSize() (int, error) {
	const variable = "OTEL_BSP_MAX_QUEUE_SIZE"
	value := getenv(variable)
	if value == "" {
		return sdktrace.DefaultMaxQueueSize, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s: %q is not a whole number of 1 or more", variable, value)
	}
	return n, nil
}

// captureVariable is the name other instrumentations of GenAI have given it.
const captureVariable = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

// readCapture reads whether prompts and answers are recorded. We have spans
// only, so asking for events alone is an error.
func readCapture() (bool, error) {
	switch value := strings.ToLower(getenv(captureVariable)); value {
	case "", "false", "no_content":
		return false, nil
	case "true", "span_only", "span_and_event":
		return true, nil
	default:
		return false, fmt.Errorf("%s: %q is not possible here, want true, span_only or span_and_event (on spans), or false or no_content", captureVariable, value)
	}
}

func hasEndpoint(signalName string) bool {
	return slices.ContainsFunc(forSignal(signalName, "ENDPOINT"), func(variable string) bool {
		return getenv(variable) != ""
	})
}

// forSignal returns the variable for one signal, which wins, and the one for all.
func forSignal(signalName, setting string) []string {
	return []string{
		"OTEL_EXPORTER_OTLP_" + signalName + "_" + setting,
		"OTEL_EXPORTER_OTLP_" + setting,
	}
}

func getenv(name string) string {
	return strings.TrimSpace(os.Getenv(name))
}

// split splits a comma-separated list, without empty entries and repetitions.
func split(list string) []string {
	var entries []string
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if entry != "" && !slices.Contains(entries, entry) {
			entries = append(entries, entry)
		}
	}
	return entries
}
