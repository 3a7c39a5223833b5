//go:build !noembedded

package main

import (
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gemini-client/service/config"
)

// embeddedPayload is the embedded server's max_payload: room for long prompts.
const embeddedPayload = 8 << 20

// embedded is a nats-server in this process.
type embedded struct {
	server *server.Server
	url    string
}

// startEmbedded starts a server with JetStream on disk, for one machine alone:
// it listens on loopback and has no users. Every message is synced to disk,
// because there is no second copy. Errors are config.ErrInvalid.
func startEmbedded(c config.NATS) (*embedded, error) {
	host, port, err := c.EmbeddedAddress()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", config.ErrInvalid, err)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	if err := os.MkdirAll(c.StoreDir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: NATS_STORE_DIR: %w", config.ErrInvalid, err)
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "gemini-client-embedded", Host: host, Port: port, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: c.StoreDir, SyncAlways: true, MaxPayload: embeddedPayload,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: embedded NATS: %w", config.ErrInvalid, err)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		s.Shutdown()
		return nil, fmt.Errorf("%w: embedded NATS did not start on %s:%d: is the port taken, or NATS_STORE_DIR (%s) not writable?", config.ErrInvalid, host, port, c.StoreDir)
	}
	return &embedded{server: s, url: s.ClientURL()}, nil
}

func (e *embedded) stop() {
	e.server.Shutdown()
	e.server.WaitForShutdown()
}
