package telemetry

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	"google.golang.org/grpc"
)

// Collector is where the OTEL_* variables send spans or metrics by OTLP.
type Collector struct {
	Signal   string // traces or metrics
	Protocol string // grpc or http/protobuf
	Endpoint string // without user and password
}

// Collectors returns those of the environment, none where nothing is sent by OTLP. The
// error names every variable that is wrong.
func Collectors() ([]Collector, error) {
	env, err := readEnvironment()
	if err != nil {
		return nil, err
	}
	var all []Collector
	for name, s := range map[string]signal{signalTraces: env.traces, signalMetrics: env.metrics} {
		if !slices.Contains(s.exporters, exporterOTLP) {
			continue
		}
		c := Collector{Signal: strings.ToLower(name), Protocol: s.protocol, Endpoint: "http://localhost:4318"}
		if s.protocol == protocolGRPC {
			c.Endpoint = "http://localhost:4317"
		}
		own := forSignal(name, "ENDPOINT")
		c.Endpoint = withoutUser(cmp.Or(getenv(own[0]), getenv(own[1]), c.Endpoint))
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Collector) int { return cmp.Compare(b.Signal, a.Signal) })
	return all, nil
}

var userInfo = regexp.MustCompile(`//[^/@\s]*@`)

// withoutUser drops user and password of URLs in a text.
func withoutUser(text string) string { return userInfo.ReplaceAllString(text, "//****@") }

// Try sends an export with nothing in it, as the exporter in force sends its own: with its
// headers, its certificates and its path. So what it answers to that holds for spans too, and
// nothing is left behind. The error quotes no key and no password; ctx bounds it.
func (c Collector) Try(ctx context.Context) error {
	var err error
	if c.Signal == strings.ToLower(signalTraces) {
		err = tryTraces(ctx, c.Protocol)
	} else {
		err = tryMetrics(ctx, c.Protocol)
	}
	if err == nil {
		return nil
	}
	return errors.New(shorten(Redact(withoutUser(err.Error()))))
}

func tryTraces(ctx context.Context, protocol string) error {
	if protocol == protocolGRPC {
		client := otlptracegrpc.NewClient(otlptracegrpc.WithDialOption(grpc.WithNoProxy()), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}))
		return errors.Join(client.Start(ctx), client.UploadTraces(ctx, nil), client.Stop(ctx))
	}
	client := otlptracehttp.NewClient(otlptracehttp.WithProxy(direct), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}))
	return errors.Join(client.Start(ctx), client.UploadTraces(ctx, nil), client.Stop(ctx))
}

func tryMetrics(ctx context.Context, protocol string) (err error) {
	var exporter sdkmetric.Exporter
	if protocol == protocolGRPC {
		exporter, err = otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithDialOption(grpc.WithNoProxy()), otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{}))
	} else {
		exporter, err = otlpmetrichttp.New(ctx, otlpmetrichttp.WithProxy(direct), otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig{}))
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, exporter.Shutdown(ctx)) }()
	return exporter.Export(ctx, &metricdata.ResourceMetrics{Resource: resource.Empty()})
}
