// Command demo shows the main job end to end with the real programs: it starts
// openrouter-sim and gemini-client serve --embedded on free ports, asks one
// question with gemini-client ask, and stops them again. It needs no key, no
// server and no Docker. It is what `make demo` runs.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startTime is how long a program may take until it is up.
const startTime = 30 * time.Second

const prompt = "Why is the sky blue?"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run runs the demo with the programs in the folder that args name ("bin").
func run(ctx context.Context, args []string, out io.Writer) error {
	bin := "bin"
	if len(args) > 0 {
		bin = args[0]
	}
	store, err := os.MkdirTemp("", "gemini-client-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(store) //nolint:errcheck // a folder in the temporary directory

	say(out, "1. An OpenRouter simulator (it needs no key and costs nothing):")
	sim, err := start(ctx, out, nil, filepath.Join(bin, "openrouter-sim"), "--addr", "127.0.0.1:0", "--latency", "300ms", "--token-interval", "40ms")
	if err != nil {
		return err
	}
	defer sim.stop() //nolint:errcheck // the last line of the demo reports it
	upstream, err := sim.find(ctx, func(line string) string { return word(line, "OPENROUTER_BASE_URL=") })
	if err != nil {
		return fmt.Errorf("openrouter-sim: %w", err)
	}

	say(out, "2. The service, with NATS JetStream inside:")
	env := []string{
		"OPENROUTER_BASE_URL=" + upstream, "OPENROUTER_API_KEYS=sk-or-demo-key", "HTTP_ADDR=127.0.0.1:0",
		"NATS_URL=nats://127.0.0.1:0", "NATS_STORE_DIR=" + store, "LOG_FORMAT=json",
	}
	service, err := start(ctx, out, env, filepath.Join(bin, "gemini-client"), "serve", "--embedded")
	if err != nil {
		return err
	}
	defer service.stop() //nolint:errcheck // the last line of the demo reports it
	nats, err := service.find(ctx, func(line string) string { return attribute(line, "NATS runs in this process", "url") })
	if err != nil {
		return fmt.Errorf("gemini-client serve: %w", err)
	}
	if _, err := service.find(ctx, func(line string) string { return attribute(line, "answering requests", "model") }); err != nil {
		return fmt.Errorf("gemini-client serve: %w", err)
	}

	say(out, "3. A request, its answer as it is written, and the completed event:")
	_, _ = fmt.Fprintf(out, "   $ gemini-client ask --events %q\n\n", prompt)
	ask := exec.CommandContext(ctx, filepath.Join(bin, "gemini-client"), "ask", "--events", "--timeout", "60s", prompt) //nolint:gosec // our own program
	ask.Env = append(os.Environ(), "NATS_URL="+nats)
	ask.Stdout, ask.Stderr = out, os.Stderr
	if err := ask.Run(); err != nil {
		return fmt.Errorf("gemini-client ask: %w", err)
	}
	if err := errors.Join(service.stop(), sim.stop()); err != nil {
		return err
	}
	say(out, "4. The same with a real model: get a key at https://openrouter.ai/settings/keys, then")
	_, _ = fmt.Fprintf(out, "   $ OPENROUTER_API_KEYS=sk-or-v1-... make run\n   $ bin/gemini-client ask %q      (in a second terminal)\n", prompt)
	return nil
}

func say(out io.Writer, text string) { _, _ = fmt.Fprintf(out, "\n%s\n", text) }

// word returns the word after a prefix in a line, "" if there is none.
func word(line, prefix string) string {
	_, rest, ok := strings.Cut(line, prefix)
	if !ok {
		return ""
	}
	return strings.Fields(rest + " ")[0]
}

// attribute returns an attribute of a JSON log line with this message.
func attribute(line, message, key string) string {
	var entry map[string]any
	if json.Unmarshal([]byte(line), &entry) != nil || entry["msg"] != message {
		return ""
	}
	value, _ := entry[key].(string)
	return value
}

// program is a started program whose output is read line by line.
type program struct {
	cmd   *exec.Cmd
	lines chan string
	ended bool
}

func start(ctx context.Context, out io.Writer, env []string, command ...string) (*program, error) {
	_, _ = fmt.Fprintf(out, "   $ %s %s\n", filepath.Base(command[0]), strings.Join(command[1:], " "))
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // our own programs
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = startTime
	reader, writer := io.Pipe()
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &program{cmd: cmd, lines: make(chan string, 1024)}
	go func() { // ends with the pipe, which stop closes
		defer close(p.lines)
		defer reader.Close() //nolint:errcheck // closing a pipe returns no error
		for lines := bufio.NewScanner(reader); lines.Scan(); {
			select {
			case p.lines <- lines.Text():
			default: // nobody reads any more
			}
		}
	}()
	context.AfterFunc(ctx, func() { _ = writer.Close() })
	return p, nil
}

// find waits for a line of which value is not empty, and returns that value.
func (p *program) find(ctx context.Context, value func(string) string) (string, error) {
	limit := time.NewTimer(startTime)
	defer limit.Stop()
	var seen []string
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return "", fmt.Errorf("it ended; its output:\n%s", strings.Join(seen, "\n"))
			}
			if found := value(line); found != "" {
				return found, nil
			}
			seen = append(seen, line)
		case <-limit.C:
			return "", fmt.Errorf("not up after %s; its output:\n%s", startTime, strings.Join(seen, "\n"))
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// stop ends the program as an operator would and waits for it.
func (p *program) stop() error {
	if p.ended {
		return nil
	}
	p.ended = true
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.cmd.Wait()
}
