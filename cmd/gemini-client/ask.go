package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"gemini-client/events"
	"gemini-client/service/bus"
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

func askCommand(configFile *string, std streams) *cobra.Command {
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
			c, _, err := config.Load(*configFile)
			if err != nil {
				return err
			}
			if q.prompt, err = readPrompt(args, std.in); err != nil {
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
	return cmd
}

func readPrompt(args []string, in io.Reader) (string, error) {
	if len(args) > 0 && (len(args) > 1 || args[0] != "-") {
		return strings.Join(args, " "), nil
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return "", fmt.Errorf("read the prompt: %w", err)
	}
	if strings.TrimSpace(string(text)) == "" {
		return "", errors.New(`there is no prompt: gemini-client ask "Why is the sky blue?"`)
	}
	return string(text), nil
}

// body is the request event.
func (q question) body() ([]byte, error) {
	parameters := map[string]any{}
	if q.withTemperature {
		parameters["temperature"] = q.temperature
	}
	if q.maxTokens > 0 {
		parameters["max_output_tokens"] = q.maxTokens
	}
	request := map[string]any{
		"request_id": q.id, "prompt": q.prompt, "stream": true, "parameters": parameters,
		"deadline": time.Now().UTC().Add(q.timeout).Format(time.RFC3339Nano),
	}
	if q.model != "" {
		request["model"] = q.model
	}
	if q.system != "" {
		request["system_instruction"] = q.system
	}
	return json.Marshal(request)
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
	body, err := q.body()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	reader, err := newReader(ctx, c, tel, q.id)
	if err != nil {
		return err
	}
	defer reader.close()
	traceID, err := reader.publish(ctx, body, tel)
	if err != nil {
		return err
	}
	show := newScreen(std, q)
	show.request(c.RequestQueue, body)
	subject, raw, err := reader.follow(ctx, show.delta)
	if err != nil {
		show.end()
		return err
	}
	return show.result(subject, raw, traceID)
}

// reader waits for one result, as a backend does.
type reader struct {
	id      string
	names   events.Names
	conn    *bus.Conn
	get     string // the subject for a direct get of the stored result
	updates chan *nats.Msg
}

// newReader subscribes before anything is published, so that nothing is missed.
func newReader(ctx context.Context, c config.Config, tel *telemetry.Telemetry, id string) (*reader, error) {
	conn, err := dial(ctx, c.NATS, tel.Logger)
	if err != nil {
		return nil, err
	}
	r := &reader{id: id, names: c.Names(), conn: conn, updates: make(chan *nats.Msg, 1024)}
	r.get = c.API("DIRECT.GET." + r.names.ResponsesStream() + "." + events.AnyResult(c.ResponseQueue, id))
	for _, subject := range []string{r.names.Deltas(id), events.AnyResult(c.ResponseQueue, id)} {
		if _, err := conn.ChanSubscribe(subject, r.updates); err != nil {
			conn.Close()
			return nil, err
		}
	}
	flush, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return r, conn.FlushWithContext(flush)
}

func (r *reader) close() { r.conn.Close() }

// publish stores the request and returns its trace id. With tracing off it has
// one as well, so that the service's trace can be found.
func (r *reader) publish(ctx context.Context, body []byte, tel *telemetry.Telemetry) (string, error) {
	ctx, span := tel.StartPublish(ctx, r.names.RequestQueue, r.id)
	if !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = trace.ContextWithSpanContext(ctx, newTrace())
	}
	m := &nats.Msg{Subject: r.names.RequestQueue, Header: nats.Header{}, Data: body}
	tel.Inject(ctx, m.Header)
	once, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	_, err := r.conn.JetStream.PublishMsg(once, m, jetstream.WithMsgID(r.id))
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		err = fmt.Errorf("no stream takes %s: has a service run against this server, or `gemini-client provision`? (%w)", r.names.RequestQueue, err)
	}
	span.End("", err)
	return trace.SpanContextFromContext(ctx).TraceID().String(), err
}

func newTrace() trace.SpanContext {
	traceID, spanID := uuid.New(), uuid.New()
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(traceID), SpanID: trace.SpanID(spanID[:8]), TraceFlags: trace.FlagsSampled,
	})
}

// follow returns the result as it came. Live messages may be lost with a
// connection, so the stream is polled as well.
func (r *reader) follow(ctx context.Context, delta func(events.Delta)) (subject string, body []byte, err error) {
	poll := time.NewTicker(2 * time.Second)
	defer poll.Stop()
	for {
		if m := r.stored(ctx); m != nil {
			return m.Subject, m.Data, nil
		}
		m, err := r.next(ctx, poll.C, delta)
		if err != nil {
			return "", nil, fmt.Errorf("no result came for %s: is a service running? (%w)", r.id, err)
		}
		if m != nil {
			return m.Subject, m.Data, nil
		}
	}
}

// next passes deltas on until the result comes. It returns nil when it is time to
// poll.
func (r *reader) next(ctx context.Context, poll <-chan time.Time, delta func(events.Delta)) (*nats.Msg, error) {
	for {
		select {
		case m := <-r.updates:
			if m.Subject != r.names.Deltas(r.id) {
				return m, nil
			}
			if d, err := events.DecodeDelta(m.Data); err == nil {
				delta(d)
			}
		case <-poll:
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// stored reads the stored result with a direct get (ADR-31), nil if there is none
// or this user may not read it. A backend needs no other right.
func (r *reader) stored(ctx context.Context) *nats.Msg {
	once, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	m, err := r.conn.RequestWithContext(once, r.get, nil)
	if err != nil || m.Header.Get(jetstream.SequenceHeader) == "" { // a status of the server, not a message
		return nil
	}
	m.Subject = m.Header.Get(jetstream.SubjectHeader)
	return m
}
