package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
)

// ErrClosed is the end of a service whose NATS client has given up its connection
// for good.
var ErrClosed = errors.New("the NATS connection was closed")

// Conn is a connection to NATS and JetStream on it.
type Conn struct {
	*nats.Conn
	JetStream jetstream.JetStream

	api         func(question string) string // config.NATS.API
	pending     *pending
	mux         *mux
	groups      bool          // config.NATS.GroupCommit
	waited      bool          // NATS, or its JetStream, was not there at once
	reconnected chan struct{} // gets one after a reconnect
	closed      chan struct{} // closed with the connection
}

// Connect returns a connection that is up, waiting for the servers as long as
// ctx lasts and saying so in the log. It stays up: reconnects are not limited,
// not even after authorization errors (credentials files are read again at each
// attempt). The caller closes it. The error is config.ErrInvalid when the options
// cannot work, else ctx's cause; it shows no password.
func Connect(ctx context.Context, c config.NATS, log *slog.Logger) (*Conn, error) {
	connected, reconnected, closed := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	pending, mux := newPending(), newMux()
	nc, err := connect(c, append(options(c, pending, mux, log),
		nats.ConnectHandler(func(*nats.Conn) { signal(connected) }),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("connected to NATS again", "server", nc.ConnectedServerName())
			signal(reconnected)
		}),
		nats.ClosedHandler(func(*nats.Conn) {
			mux.close()
			close(closed)
		})))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", config.ErrInvalid, c.Where(), withoutURL(err))
	}
	js, err := jetstream.NewWithAPIPrefix(nc, c.APIPrefix)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("%w: NATS_JS_API_PREFIX=%s: %w", config.ErrInvalid, c.APIPrefix, err)
	}
	waited := !nc.IsConnected()
	if err := await(ctx, nc, connected, log.With("url", config.MaskURL(c.URL))); err != nil {
		nc.Close()
		return nil, err
	}
	return &Conn{Conn: nc, JetStream: js, api: c.API, pending: pending, mux: mux, groups: c.GroupCommit, waited: waited, reconnected: reconnected, closed: closed}, nil
}

// signal tells whoever waits; one signal is enough.
func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// await returns when the connection is up, or ctx's cause.
func await(ctx context.Context, nc *nats.Conn, connected <-chan struct{}, log *slog.Logger) error {
	remind := time.NewTicker(15 * time.Second)
	defer remind.Stop()
	if !nc.IsConnected() {
		log.WarnContext(ctx, "NATS is not reachable yet, waiting for it", "error", errorText(nc.LastError()))
	}
	for !nc.IsConnected() {
		select {
		case <-connected:
		case <-remind.C:
			log.WarnContext(ctx, "still waiting for NATS", "error", errorText(nc.LastError()))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// withoutURL drops what url.Parse repeats in its errors: the URL, and pieces of
// its password where a character in it is not escaped.
func withoutURL(err error) error {
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		return errors.New("it cannot be read")
	}
	return err
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
func options(c config.NATS, pending *pending, mux *mux, log *slog.Logger) []nats.Option {
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
			mux.lost(nats.ErrDisconnected)
			if err != nil { // nil is our own Close
				log.Warn("lost the connection to NATS, reconnecting", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			mux.refused(err)
			if pending.refused(err) {
				return // the request that it is about returns it
			}
			what := "NATS reports an error"
			switch {
			case !errors.Is(err, nats.ErrPermissionViolation):
			case strings.Contains(err.Error(), discovery):
				log.Debug("this user may not subscribe below "+discovery+"*: nats micro does not find the worker", "error", err)
				return
			case strings.Contains(err.Error(), tenantsHeard), strings.Contains(err.Error(), tenantsAsked):
				log.Debug("this user may not see declared tenants", "error", err)
				return
			default:
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
