package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/telemetry"
)

// adminClient is the NATS connection of a command for people on call, with the
// names of the streams and the output.
type adminClient struct {
	config config.Config
	names  events.Names
	conn   *bus.Conn
	js     jetstream.JetStream
	out    io.Writer
	err    io.Writer

	spentBefore *spentState // what status has read of results

	tenantOnly string // whose requests a command is about; "" for anybody's
}

// openAdminClient connects to NATS. The caller closes the client.
func openAdminClient(ctx context.Context, from *source, std streams) (*adminClient, error) {
	c, _, err := from.load()
	if err != nil {
		return nil, err
	}
	log, err := telemetry.NewLogger(telemetry.Config{LogLevel: "WARN", Output: std.err})
	if err != nil {
		return nil, err
	}
	conn, err := dial(ctx, c.NATS, log)
	if err != nil {
		return nil, err
	}
	return &adminClient{config: c, names: c.Names(), conn: conn, js: conn.JetStream, out: std.out, err: std.err}, nil
}

func (a *adminClient) close() { a.conn.Close() }

// printf writes to standard output.
func (a *adminClient) printf(format string, args ...any) { _, _ = fmt.Fprintf(a.out, format, args...) }

// fail prints what did not work and returns errFailed, for exit code 1.
func (a *adminClient) fail(format string, args ...any) error {
	_, _ = fmt.Fprintf(a.err, "gemini-client: "+format+"\n", args...)
	return errFailed
}

// stream returns a stream. The error says what to do if it does not exist.
func (a *adminClient) stream(ctx context.Context, name string) (s jetstream.Stream, err error) {
	err = a.conn.Do(ctx, "."+name, func(ctx context.Context) error {
		s, err = a.js.Stream(ctx, name)
		return err
	})
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled):
		err = fmt.Errorf("stream %s is not there: has a service run against this server, or `gemini-client provision`? (%w)", name, err)
	case err != nil:
		err = fmt.Errorf("stream %s: %w", name, err)
	}
	return s, err
}

// last returns the last message whose subject matches, nil if there is none.
func (a *adminClient) last(ctx context.Context, s jetstream.Stream, subject string) (m *jetstream.RawStreamMsg, err error) {
	return a.get(ctx, s, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return s.GetLastMsgForSubject(ctx, subject)
	})
}

// next returns the first message of a subject from a sequence on, nil if there
// is none.
func (a *adminClient) next(ctx context.Context, s jetstream.Stream, sequence uint64, subject string) (*jetstream.RawStreamMsg, error) {
	return a.get(ctx, s, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return s.GetMsg(ctx, max(sequence, 1), jetstream.WithGetMsgSubject(subject))
	})
}

// at returns the message with a sequence, nil if there is none.
func (a *adminClient) at(ctx context.Context, s jetstream.Stream, sequence uint64) (*jetstream.RawStreamMsg, error) {
	return a.get(ctx, s, func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return s.GetMsg(ctx, sequence) })
}

func (a *adminClient) get(ctx context.Context, s jetstream.Stream, do func(context.Context) (*jetstream.RawStreamMsg, error)) (m *jetstream.RawStreamMsg, err error) {
	name := s.CachedInfo().Config.Name
	err = a.conn.Do(ctx, "."+name, func(ctx context.Context) error {
		m, err = do(ctx)
		return err
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	return m, nil
}

// plain makes a text from outside safe to print on one line: it masks keys and
// replaces control characters.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, telemetry.Redact(strings.ToValidUTF8(s, "\uFFFD")))
}

// clock formats a time, in UTC.
func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// since formats a time and its distance from now.
func since(t time.Time) string {
	return clock(t) + ", " + humanize.RelTime(t, time.Now().Truncate(time.Second), "ago", "from now")
}
