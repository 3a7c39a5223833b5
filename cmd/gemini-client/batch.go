package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"gemini-client/cmd/gemini-client/batchrun"
	"gemini-client/events/client"
	"gemini-client/service/config"
	"gemini-client/telemetry"
)

func batchCommand(configFile *string, std streams) *cobra.Command {
	cmd := &cobra.Command{Use: "batch", Short: "Run files of prompts through the queue"}
	cmd.AddCommand(batchRunCommand(configFile, std))
	return cmd
}

// batchFlags are those of batch run.
type batchFlags struct {
	batchrun.Options

	failures string // a file
}

func batchRunCommand(configFile *string, std streams) *cobra.Command {
	var f batchFlags
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Submit a request a line, and write a result a line",
		Long: `Submit a request a line of FILE ("-": standard input), and write a result a line.

A line is a request event, whose request_id may be left out; or one of OpenAI's batch
lines (custom_id, url, body), whose result is one of OpenAI's output lines; or, with
--prompt, a prompt.

Stopped or killed, the same command again goes on where it was: a line's id is made of its
number and its content, results that are in the output are skipped, and what is
under way is not asked for again.

Exit code 1: some requests failed, or lines are left. Exit code 2: nothing was started.`,
		Example: `  gemini-client batch run prompts.jsonl -o results.jsonl
  gemini-client batch run --prompt --max-cost 5 questions.txt -o answers.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := config.Load(*configFile)
			if err != nil {
				return err
			}
			return runBatch(cmd.Context(), c, f, args[0], std)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.Output, "output", "o", "-", "file for the results; one that is there is gone on with")
	flags.BoolVar(&f.Text, "prompt", false, "each line is a prompt")
	flags.StringVarP(&f.Model, "model", "m", "", "model of lines that name none (default: the service's OPENROUTER_MODEL)")
	flags.IntVar(&f.MaxInFlight, "max-in-flight", 200, "requests that are submitted and have no result yet")
	flags.Float64Var(&f.MaxCost, "max-cost", 0, "US dollars after which no more are submitted; what is under way still costs (default: any)")
	flags.DurationVar(&f.Deadline, "deadline", 0, "how long each request may take (default: any time)")
	flags.BoolVar(&f.Ordered, "ordered", false, "write results in the order of the lines")
	flags.StringVar(&f.failures, "failures", "", "file for a sentence about each request that failed")
	return cmd
}

// runBatch runs a batch and says what came of it.
func runBatch(ctx context.Context, c config.Config, f batchFlags, name string, std streams) (err error) {
	if f.MaxInFlight < 1 || f.MaxCost < 0 || f.Deadline < 0 {
		return fmt.Errorf("--max-in-flight %d, --max-cost %v, --deadline %s: want 1 or more, and 0 or more", f.MaxInFlight, f.MaxCost, f.Deadline)
	}
	input, err := openInput(name, std.in)
	if err != nil {
		return err
	}
	defer input.Close() //nolint:errcheck // it is only read
	if f.failures != "" {
		file, err := os.OpenFile(f.failures, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		f.Failures = file
	}
	log, err := telemetry.NewLogger(telemetry.Config{LogLevel: "WARN", LogFormat: c.LogFormat, Output: std.err})
	if err != nil {
		return err
	}
	conn, err := dial(ctx, c.NATS, log)
	if err != nil {
		return err
	}
	defer conn.Close()
	backend, err := client.New(conn.Conn, client.WithNames(c.Names()), client.WithAPIPrefix(c.APIPrefix))
	if err != nil {
		return err
	}
	f.Input, f.Stdout = input, std.out
	f.Progress = func(s batchrun.Summary) { _, _ = fmt.Fprintln(std.err, batchLine(s)) }
	sum, err := batchrun.Run(ctx, backend, f.Options)
	return batchEnd(sum, err, std.err)
}

func openInput(name string, in io.Reader) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(in), nil
	}
	return os.Open(name) //nolint:gosec // the user's own file
}

func batchLine(s batchrun.Summary) string {
	text := fmt.Sprintf("%d completed, %d failed, $%.6f, %s", s.Completed, s.Failed, s.Cost, s.Took.Round(time.Second))
	if s.Skipped > 0 {
		text += fmt.Sprintf("; %d were done before", s.Skipped)
	}
	return text
}

// batchEnd says how a batch ended.
func batchEnd(s batchrun.Summary, err error, out io.Writer) error {
	_, _ = fmt.Fprintln(out, batchLine(s))
	switch {
	case errors.Is(err, context.Canceled):
		_, _ = fmt.Fprintln(out, "Stopped. What was submitted is answered all the same: the same command again gets its results, and goes on.")
		return errFailed
	case err != nil && s.Completed+s.Failed+s.Skipped == 0:
		return err
	case err != nil:
		_, _ = fmt.Fprintf(out, "gemini-client: %v\nThe same command again goes on.\n", err)
		return errFailed
	case s.OverCost:
		_, _ = fmt.Fprintln(out, "--max-cost is reached, and lines are left. The same command with a higher one goes on.")
		return errFailed
	case s.Failed > 0:
		return errFailed
	}
	return nil
}
