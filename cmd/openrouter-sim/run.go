package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"gemini-client/service/openrouter/simulator"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// drain is how long calls in flight may take to end after a signal.
const drain = 3 * time.Second

// run is the program: it serves until the context ends and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 1 && args[0] == "faults" {
		printFaults(stdout)
		return exitOK
	}
	if len(args) == 1 && (args[0] == "version" || args[0] == "--version") {
		say(stdout, "openrouter-sim %s\n", version())
		return exitOK
	}
	o, err := parse(args, stdout, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		say(stderr, "openrouter-sim: %v\n", err)
		return exitUsage
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	o.config.OnCall = func(c simulator.Call) { logCall(ctx, log, c) }
	if err := serve(ctx, o, stdout); err != nil {
		say(stderr, "openrouter-sim: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// serve listens, prints the address, and returns when the context and the calls have ended.
func serve(ctx context.Context, o options, stdout io.Writer) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return err
	}
	announce(stdout, listener.Addr().String())
	sim := simulator.New(o.config)
	for _, model := range o.retired {
		sim.Retire(model, simulator.RetiredNoEndpoints)
	}
	server := &http.Server{Handler: sim, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop(ctx, server, sim)
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	say(stdout, "openrouter-sim: stopped after %d calls, simulated cost %.6f USD\n", sim.Count(), sim.Cost())
	return nil
}

// stop lets calls in flight end, and cuts those that do not, such as the ones that hang on purpose.
func stop(ctx context.Context, server *http.Server, sim *simulator.Simulator) {
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if server.Shutdown(limit) == nil {
		return
	}
	sim.Close()
	limit, cancel = context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	_ = sim.Wait(limit, func(s simulator.Stats) bool { return s.InFlight == 0 })
	_ = server.Close()
}

// say prints. A write error is ignored, since there is nowhere to report it.
func say(w io.Writer, format string, values ...any) { _, _ = fmt.Fprintf(w, format, values...) }

// announce prints where the simulator is and how to use it.
func announce(w io.Writer, address string) {
	base := "http://" + address + "/api/v1"
	say(w, `openrouter-sim: this is a SIMULATOR of OpenRouter, no model answers here
  listening on %s
  use it:      OPENROUTER_BASE_URL=%s OPENROUTER_API_KEYS=sk-or-v1-simulated gemini-client serve
  faults:      put a marker such as [sim:429 retry_after=3 times=2] into a prompt; openrouter-sim faults lists all
`, base, base)
}

// logCall logs a call that has ended in one line, without its prompt and with only the end of its key.
func logCall(ctx context.Context, log *slog.Logger, c simulator.Call) {
	log.LogAttrs(ctx, slog.LevelInfo, "call",
		slog.Int("number", c.Number),
		slog.Int("status", c.Status),
		slog.String("outcome", c.Outcome),
		slog.String("fault", c.Fault),
		slog.String("model", c.Model),
		slog.Bool("stream", c.Stream),
		slog.String("key", lastFour(c.Key)),
		slog.Int("tokens", c.PromptTokens+c.CompletionTokens),
		slog.Float64("cost", c.Cost),
		slog.Duration("took", c.Ended.Sub(c.At)),
		slog.String("generation", c.GenerationID),
	)
}

// lastFour returns what may be shown of a key: its last four characters, nothing of a short one.
func lastFour(key string) string {
	if len(key) < 12 {
		return "..."
	}
	return "..." + key[len(key)-4:]
}

// stamped is set by the linker (-X main.stamped=v1.2.3).
var stamped string //nolint:gochecknoglobals // the linker sets only package variables

// version is what the linker stamped, else that of Go's build info.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && stamped == "" {
		return info.Main.Version
	}
	return stamped
}
