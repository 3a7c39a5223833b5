package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"gemini-client/cmd/gemini-client/batchrun"
	"gemini-client/events"
	"gemini-client/events/client"
	"gemini-client/service/config"
	"gemini-client/telemetry"
)

// question holds the flags of ask: the request, and how its answer is shown.
type question struct {
	prompt, model, system, id string
	temperature               float64
	maxTokens                 int
	timeout                   time.Duration
	json, events              bool
	withTemperature           bool // the flag was set
}

func askCommand(from *source, std streams) *cobra.Command {
	q := question{}
	cmd := &cobra.Command{
		Use:   "ask [PROMPT]",
		Short: "Publish a request and print the answer as it is written",
		Long: `Publish a request and print the answer as it is written, then tokens, cost, time
and trace id. Without PROMPT, or with -, the prompt is read from standard input.
Exit code 1: the result is a failure, or did not come in time.`,
		Example: `  gemini-client ask "Why is the sky blue?"
  git diff | gemini-client ask --system "Review this change."
  gemini-client ask --json "One word for sky" | jq .cost`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := from.load()
			if err != nil {
				return err
			}
			if q.prompt, err = readPrompt(cmd.Context(), args, std.in); err != nil {
				return err
			}
			q.withTemperature = cmd.Flags().Changed("temperature")
			return ask(cmd.Context(), c, q, std)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&q.model, "model", "m", "", "model (default: the service's OPENROUTER_MODEL)")
	f.StringVarP(&q.system, "system", "s", "", "system instruction")
	f.Float64VarP(&q.temperature, "temperature", "t", events.DefaultTemperature, "0 to 2")
	f.IntVar(&q.maxTokens, "max-tokens", 0, "longest answer in tokens (default: the service's)")
	f.StringVar(&q.id, "id", "", "request_id (default: a new UUID); the same id again is answered with the stored result")
	f.DurationVar(&q.timeout, "timeout", 5*time.Minute, "how long to wait for the result; also the request's deadline")
	f.BoolVar(&q.json, "json", false, "print the result event, nothing else")
	f.BoolVar(&q.events, "events", false, "show the events on the wire as well")
	completes(cmd, "model", from.models())
	return cmd
}

func readPrompt(ctx context.Context, args []string, in io.Reader) (string, error) {
	if len(args) > 0 && (len(args) > 1 || args[0] != "-") {
		return strings.Join(args, " "), nil
	}
	input := batchrun.Interruptible(in)
	defer input.Close() //nolint:errcheck // it is only read
	defer batchrun.EndWith(ctx, input)()
	text, err := io.ReadAll(input)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return "", fmt.Errorf("read the prompt: %w", err)
	}
	if strings.TrimSpace(string(text)) == "" {
		return "", errors.New(`there is no prompt: gemini-client ask "Why is the sky blue?"`)
	}
	return string(text), nil
}

// request is the request event.
func (q question) request() events.Request {
	now := time.Now().UTC()
	r := events.Request{
		ID: q.id, Prompt: q.prompt, Model: q.model, SystemInstruction: q.system, Stream: true,
		Timestamp: now, Deadline: now.Add(q.timeout),
	}
	if q.withTemperature || q.maxTokens > 0 {
		r.Parameters = events.DefaultParameters()
	}
	if q.withTemperature {
		r.Parameters.Temperature = q.temperature
	}
	if q.maxTokens > 0 {
		r.Parameters.MaxOutputTokens = q.maxTokens
	}
	return r
}

// ask is one request from publishing to its result.
func ask(ctx context.Context, c config.Config, q question, std streams) error {
	tel, err := telemetry.Setup(ctx, telemetry.Config{Version: version(), LogLevel: "WARN", LogFormat: c.LogFormat, Output: std.err})
	if err != nil {
		return err
	}
	defer flush(ctx, tel)
	if q.id == "" {
		q.id = uuid.NewString()
	}
	if !events.ValidID(q.id) {
		return fmt.Errorf("--id %s: want a UUID such as %s", q.id, uuid.NewString())
	}
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	conn, err := dial(ctx, c.NATS, tel.Logger)
	if err != nil {
		return err
	}
	defer conn.Close()
	backend, err := client.New(conn.Conn, client.WithNames(c.Names()), client.WithAPIPrefix(c.APIPrefix), client.WithTracerProvider(tel.TracerProvider()))
	if err != nil {
		return err
	}
	ctx, span := tel.Tracer.Start(ctx, "ask")
	defer span.End()
	if !span.SpanContext().IsValid() { // with tracing off it has a trace as well, so that the service's can be found
		ctx = trace.ContextWithSpanContext(ctx, newTrace())
	}
	return follow(ctx, backend, c.Queue, newScreen(std, q))
}

// follow submits the request and shows its answer as it is written, and its result.
func follow(ctx context.Context, backend *client.Client, c config.Queue, show *screen) error {
	defer show.end()
	request := show.q.request()
	once, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	h, err := backend.Submit(once, request)
	if err != nil {
		return err
	}
	show.request(c.RequestQueue, request)
	for d, err := range h.Deltas(ctx) {
		if err != nil {
			break // the result says why
		}
		show.delta(d)
	}
	r, err := h.Result(ctx)
	if failed := (*client.FailedError)(nil); err != nil && !errors.As(err, &failed) {
		return fmt.Errorf("no result came for %s: is a service running? (%w)", h.ID(), err)
	}
	return show.result(c.ResponseQueue, r, trace.SpanContextFromContext(ctx).TraceID().String())
}

func newTrace() trace.SpanContext {
	traceID, spanID := uuid.New(), uuid.New()
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(traceID), SpanID: trace.SpanID(spanID[:8]), TraceFlags: trace.FlagsSampled,
	})
}
