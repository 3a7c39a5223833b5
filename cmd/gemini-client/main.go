package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"gemini-client/service"
	"gemini-client/service/bus"
	"gemini-client/service/config"
)

// Exit codes.
const (
	exitFailed  = 1
	exitInvalid = 2
)

func main() {
	paceHeap()
	ctx, stop := untilSignal(context.Background())
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM. The
// second ends the process at once, however soon it follows: signal.NotifyContext
// would swallow one that comes before its stop is called.
func untilSignal(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, ok := <-signals; !ok {
			return
		}
		cancel()
		if second, ok := <-signals; ok {
			number, _ := second.(syscall.Signal)
			os.Exit(128 + int(number)) // as a shell reports it
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		<-done
		cancel()
	}
}

// streams are the standard streams, so that tests can replace them.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// errFailed ends the program with exit code 1. The reason has been printed already.
var errFailed = errors.New("failed")

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string, std streams) int {
	root := rootCommand(std)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.Is(err, errFailed) && !errors.Is(err, errWrong) {
		_, _ = fmt.Fprintf(std.err, "gemini-client: %v\n", err)
	}
	return exitCode(err)
}

func rootCommand(std streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "gemini-client",
		Short: "Puts an LLM behind NATS JetStream: request events in, exactly one result event each out",
		Long: `gemini-client answers LLM request events from NATS JetStream through OpenRouter.

Try it without a key or a server:   make demo
Run it with a key:                  OPENROUTER_API_KEYS=sk-or-v1-... gemini-client serve --embedded
Ask it something:                   gemini-client ask "Why is the sky blue?"
See what is going on:               gemini-client status
See every setting:                  gemini-client config`,
		Example: `  gemini-client ask "Why is the sky blue?"
  gemini-client --context prod status`,
		SilenceUsage: true, SilenceErrors: true, Version: version(),
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n") // as the command version
	var from source
	root.PersistentFlags().StringVar(&from.file, "config", "", "YAML file with settings; the environment goes over it")
	root.PersistentFlags().StringVar(&from.context, "context", "", "context of the nats CLI to connect with, its name or its file (default: NATS_CONTEXT)")
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.AddCommand(serveCommand(&from, std), askCommand(&from, std), provisionCommand(&from, std),
		configCommand(&from, std), healthCommand(&from, std), versionCommand(std), statusCommand(&from, std), uiCommand(&from, std), doctorCommand(&from, std), deadlettersCommand(&from, std),
		batchCommand(&from, std), cancelCommand(&from, std), pauseCommand(&from, std), resumeCommand(&from, std), tenantsCommand(&from, std), usageCommand(&from, std))
	addCompletion(root)
	return root
}

// source is where a command has its settings from.
type source struct {
	file    string // --config
	context string // --context
}

func (s *source) load() (c config.Config, warnings []string, err error) {
	return config.Load(s.file, s.context)
}

// exitCode is 1 for what failed while the program ran, 2 for what a person has to
// correct first.
func exitCode(err error) int {
	for _, failed := range []error{errFailed, service.ErrCut, bus.ErrClosed, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, failed) {
			return exitFailed
		}
	}
	return exitInvalid
}
