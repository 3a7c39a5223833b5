package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
)

// ErrClosed ends Run when the NATS client has given up its connection for
// good, which the options below leave to protocol violations alone.
var ErrClosed = errors.New("the NATS connection was closed")

// Connect returns a connection that is up, waiting for the servers as long as
// ctx lasts and saying so in the log. It stays up: reconnects are not limited,
// not even after authorization errors (credentials files are read again at each
// attempt). The caller closes it. The error is config.ErrInvalid when the options
// cannot work, else ctx's cause.
func Connect(ctx context.Context, c config.NATS, log *slog.Logger) (*nats.Conn, error) {
	connected := make(chan struct{}, 1)
	nc, err := nats.Connect(c.URL, append(options(c, log), nats.ConnectHandler(func(*nats.Conn) {
		select {
		case connected <- struct{}{}:
		default:
		}
	}))...)
	if err != nil {
		return nil, fmt.Errorf("%w: NATS_URL=%s: %w", config.ErrInvalid, config.MaskURL(c.URL), err)
	}
	remind := time.NewTicker(15 * time.Second)
	defer remind.Stop()
	if !nc.IsConnected() {
		log.WarnContext(ctx, "NATS is not reachable yet, waiting for it", "url", config.MaskURL(c.URL), "error", errorText(nc.LastError()))
	}
	for !nc.IsConnected() {
		select {
		case <-connected:
		case <-remind.C:
			log.WarnContext(ctx, "still waiting for NATS", "url", config.MaskURL(c.URL), "error", errorText(nc.LastError()))
		case <-ctx.Done():
			nc.Close()
			return nil, context.Cause(ctx)
		}
	}
	return nc, nil
}

// JetStream returns JetStream on a connection, under the API prefix in force.
// The error is config.ErrInvalid.
func JetStream(nc *nats.Conn, c config.NATS) (jetstream.JetStream, error) {
	js, err := jetstream.NewWithAPIPrefix(nc, c.APIPrefix)
	if err != nil {
		return nil, fmt.Errorf("%w: NATS_JS_API_PREFIX=%s: %w", config.ErrInvalid, c.APIPrefix, err)
	}
	return js, nil
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// writeTimeout bounds one write to NATS, a message of max_payload at most. The
// client holds its lock meanwhile: pings, time limits and the question whether
// there is a connection all wait for it, by default for a minute.
const writeTimeout = 10 * time.Second

// options are chosen for leases: nothing is buffered while disconnected, so
// that a lost heartbeat is seen, and a dead link is noticed sooner than leases
// of the default ACK_WAIT end, by pings or by writes that get stuck.
func options(c config.NATS, log *slog.Logger) []nats.Option {
	repeats := newRepeats(log)
	list := []nats.Option{
		nats.Name("gemini-client"),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(500 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.FlusherTimeout(writeTimeout),
		nats.ReconnectOnFlusherError(),
		nats.CustomInboxPrefix(c.InboxPrefix),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil is our own Close
				log.Warn("lost the connection to NATS, reconnecting", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("connected to NATS again", "server", nc.ConnectedServerName())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			what := "NATS reports an error"
			if errors.Is(err, nats.ErrPermissionViolation) {
				what = "NATS refuses what the service needs: grant this user the permission"
			}
			repeats.say(what, err)
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			repeats.say("cannot connect to NATS, trying again", err)
		}),
	}
	if c.Creds != "" {
		list = append(list, nats.UserCredentials(c.Creds))
	}
	if c.User != "" {
		list = append(list, nats.UserInfoHandler(func() (string, string) { return c.User, c.CurrentPassword() }))
	}
	if c.TLSCA != "" {
		list = append(list, nats.RootCAs(c.TLSCA))
	}
	if c.TLSCert != "" {
		list = append(list, nats.ClientCert(c.TLSCert, c.TLSKey))
	}
	if c.TLSFirst {
		list = append(list, nats.TLSHandshakeFirst())
	}
	return list
}

// sayAgain is when an error that keeps coming is logged again.
const sayAgain = time.Minute

// repeats logs an error once a minute: a missing permission comes with every
// pull, a wrong password with every attempt to connect.
type repeats struct {
	log  *slog.Logger
	mu   sync.Mutex
	said map[string]time.Time
}

func newRepeats(log *slog.Logger) *repeats {
	return &repeats{log: log, said: map[string]time.Time{}}
}

func (r *repeats) say(what string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := what + errorText(err)
	if last, ok := r.said[text]; ok && time.Since(last) < sayAgain {
		return
	}
	if len(r.said) > 100 { // texts with numbers in them must not pile up
		clear(r.said)
	}
	r.said[text] = time.Now()
	r.log.Warn(what, "error", err)
}
