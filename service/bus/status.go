package bus

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/nats-io/nats.go/micro"
)

// answerStatus answers everybody who asks on Names.Status with status's JSON, until stop
// is called: on core NATS, for people on call. Every process answers for itself. It is an
// endpoint of a NATS micro service (ADR-32), so that "nats micro ls", "info" and "stats"
// find the process, where its user may subscribe below $SRV.
func (b *Bus) answerStatus(ctx context.Context, version string, status func() any) (stop func(), err error) {
	failed := func(err error) {
		b.tel.Logger.DebugContext(ctx, "a question for the status was not answered, or not heard", "error", err)
	}
	about := micro.Config{
		Name: Durable, Version: strings.TrimPrefix(version, "v"), Description: "answers requests through OpenRouter",
		Metadata: map[string]string{
			"instance": b.Instance(), "requests": b.names.RequestQueue, "results": b.names.ResponsesAll(), "deltas": b.names.Deltas("*"), "cancels": b.names.Cancel("*"),
			"request_schema": "urn:gemini-client:request:v1", "result_schema": "urn:gemini-client:result:v1",
		},
		QueueGroupDisabled: true,
		StatsHandler:       func(*micro.Endpoint) any { return status() },
		ErrorHandler:       func(_ micro.Service, err *micro.NATSError) { failed(err) },
	}
	found, err := micro.AddService(b.conn.Conn, about)
	if errors.Is(err, micro.ErrConfigValidation) { // a build outside a repository has no semantic version
		about.Version = "0.0.0-devel"
		found, err = micro.AddService(b.conn.Conn, about)
	}
	if err != nil {
		return nil, err
	}
	answer := func(r micro.Request) {
		body, err := json.Marshal(status())
		if err == nil && r.Reply() != "" {
			err = r.Respond(body)
		}
		if err != nil {
			failed(err)
		}
	}
	if err := found.AddEndpoint("status", micro.HandlerFunc(answer), micro.WithEndpointSubject(b.names.Status())); err != nil {
		_ = found.Stop()
		return nil, err
	}
	return func() { _ = found.Stop() }, nil
}

// discovery begins the subjects on which micro services are found.
const discovery = "$SRV."
