package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
)

// ErrLogin is a server that is there and does not let us in. errors.Is finds it.
var ErrLogin = errors.New("NATS refuses the login")

// onceTimeout bounds each step of ConnectOnce: resolving and dialling, the greeting with
// its TLS handshake.
const onceTimeout = 3 * time.Second

// ConnectOnce is Connect for whoever wants to know what is wrong: it tries the servers
// once, logs nothing, and a connection that is lost stays lost. The caller closes it.
// Errors: ErrLogin, config.ErrInvalid for an API prefix that cannot work, else why there
// is no connection; none shows a password.
func ConnectOnce(c config.NATS) (*Conn, error) {
	pending, mux, closed := newPending(), newMux(), make(chan struct{})
	nc, err := connect(c, append(options(c, pending, mux, slog.New(slog.DiscardHandler)),
		nats.RetryOnFailedConnect(false), nats.NoReconnect(), nats.IgnoreDiscoveredServers(), nats.Timeout(onceTimeout),
		nats.ClosedHandler(func(*nats.Conn) {
			mux.close()
			close(closed)
		})))
	if err != nil {
		return nil, onceError(err)
	}
	js, err := jetstream.NewWithAPIPrefix(nc, c.APIPrefix)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("%w: NATS_JS_API_PREFIX=%s: %w", config.ErrInvalid, c.APIPrefix, err)
	}
	return &Conn{Conn: nc, JetStream: js, api: c.API, pending: pending, mux: mux, reconnected: make(chan struct{}, 1), closed: closed}, nil
}

func onceError(err error) error {
	for _, refused := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired, nats.ErrPermissionViolation,
		nats.ErrNkeysNotSupported,
	} {
		if errors.Is(err, refused) {
			return fmt.Errorf("%w: %w", ErrLogin, err)
		}
	}
	if errors.Is(err, nats.ErrNoServers) { // nats.go drops the reason
		return errors.New("connection refused: nobody listens there")
	}
	return withoutURL(err)
}

// RoundTrip is how long the server takes to answer a ping, within 3 seconds. Errors: those
// of the connection.
func (c *Conn) RoundTrip(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, onceTimeout)
	defer cancel()
	began := time.Now()
	err := c.FlushWithContext(ctx)
	return time.Since(began), err
}
