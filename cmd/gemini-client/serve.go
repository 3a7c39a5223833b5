package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gemini-client/service"
	"gemini-client/service/config"
	"gemini-client/telemetry"
)

// flushTime bounds the last flush of the telemetry: a collector that hangs must
// not hold up the process.
const flushTime = 5 * time.Second

func serveCommand(from *source, std streams) *cobra.Command {
	var embedded bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer requests until SIGTERM",
		Long: `Answer requests from NATS JetStream until SIGTERM or Ctrl-C. Calls in flight then
finish within SHUTDOWN_TIMEOUT; a second signal ends at once. Exit code 0 means
that nothing was cut off.`,
		Example: `  gemini-client serve
  OPENROUTER_API_KEYS=sk-or-v1-... gemini-client serve --embedded`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, warnings, err := from.load()
			if err != nil {
				return err
			}
			c.Embedded = c.Embedded || embedded
			return serve(cmd.Context(), c, warnings, std)
		},
	}
	cmd.Flags().BoolVar(&embedded, "embedded", false, "run a NATS server in this process (NATS_EMBEDDED): on NATS_URL, which must be loopback, with its files in NATS_STORE_DIR")
	return cmd
}

// serve runs the service with telemetry, the embedded server and the HTTP port,
// and ends them in the reverse order.
func serve(ctx context.Context, c config.Config, warnings []string, std streams) (err error) {
	boundHeap()
	tel, err := telemetry.Setup(ctx, telemetryConfig(c, std.out))
	if err != nil {
		return fmt.Errorf("%w: %w", config.ErrInvalid, err)
	}
	defer flush(ctx, tel)
	for _, warning := range warnings {
		tel.Logger.WarnContext(ctx, warning)
	}
	if err := c.RequireKeys(); err != nil { // before anything is started
		return err
	}
	if c.Embedded {
		server, err := startEmbedded(c.NATS)
		if err != nil {
			return err
		}
		defer server.stop()
		tel.Logger.InfoContext(ctx, "NATS runs in this process", "url", server.url, "store", c.StoreDir)
		c.NATS.URL = server.url
	}
	s, err := service.New(c, version(), tel)
	if err != nil {
		return err
	}
	for _, w := range []web{{"HTTP_ADDR", c.HTTPAddr, "/healthz, /readyz and /metrics", s.Handler()}, {"DEBUG_ADDR", c.DebugAddr, "/debug/pprof/", profiles()}} {
		stop, err := w.listen(ctx, tel.Logger)
		if err != nil {
			return err
		}
		defer stop()
	}
	return s.Run(ctx)
}

// telemetryConfig returns the settings of logs and traces; telemetry reads the
// OTEL_* variables itself.
func telemetryConfig(c config.Config, out io.Writer) telemetry.Config {
	return telemetry.Config{
		Version: version(), LogLevel: c.LogLevel, LogFormat: c.LogFormat, Output: out,
		TraceLink: strings.EqualFold(c.TraceMode, "link"),
	}
}

func flush(ctx context.Context, tel *telemetry.Telemetry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
	defer cancel()
	if err := tel.Shutdown(ctx); err != nil {
		tel.Logger.WarnContext(ctx, "telemetry was not flushed completely", "error", err)
	}
}

// web is what is served over HTTP at one address.
type web struct {
	setting, addr string // an empty address: nothing is
	paths         string // for people
	handler       http.Handler
}

// listen serves; the returned function ends that and waits.
func (w web) listen(ctx context.Context, log *slog.Logger) (stop func(), err error) {
	if w.addr == "" {
		return func() {}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", w.addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %s=%s: %w", config.ErrInvalid, w.setting, w.addr, err)
	}
	log.InfoContext(ctx, "serving "+w.paths, "address", listener.Addr().String())
	server := &http.Server{Handler: w.handler, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.ErrorContext(ctx, "the HTTP port has failed", "setting", w.setting, "error", err)
		}
	}()
	return func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(end) != nil {
			_ = server.Close()
		}
		<-done
	}, nil
}
