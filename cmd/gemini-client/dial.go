package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"gemini-client/service/bus"
	"gemini-client/service/config"
)

// connectTimeout is how long a command that a person waits for tries to connect.
const connectTimeout = 10 * time.Second

// dial connects a command to NATS. The caller closes the connection. Neither its
// error nor the log shows a password.
func dial(ctx context.Context, c config.NATS, log *slog.Logger) (*bus.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := bus.Connect(ctx, c, log)
	if err != nil {
		return nil, fmt.Errorf("NATS is not reachable at %s (is it running? for one machine: `gemini-client serve --embedded`): %w", c.Where(), err)
	}
	return conn, nil
}
