package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"gemini-client/cmd/gemini-client/batchrun"
	"gemini-client/events/client"
	"gemini-client/service/config"
	"gemini-client/telemetry"
)

func batchCommand(from *source, std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use: "batch", Short: "Run files of prompts through the queue",
		Example: `  gemini-client batch run prompts.jsonl -o results.jsonl`,
	}
	cmd.AddCommand(batchRunCommand(from, std))
	return cmd
}

// batchFlags are those of batch run.
type batchFlags struct {
	batchrun.Options

	failures string // a file
	template string // a file
	json     bool
}

func batchRunCommand(from *source, std streams) *cobra.Command {
	var f batchFlags
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Submit a request a line, and write a result a line",
		Long: `Submit a request a line of FILE ("-": standard input), and write a result a line.

A line is a request event, whose request_id may be left out; or one of OpenAI's batch
lines (custom_id, url, body), whose result is one of OpenAI's output lines; or, with
--prompt, a prompt. With --template it is any JSON object, or a row of a CSV file (whose
first row names the columns), of which the template makes the prompt.

Stopped or killed, the same command again goes on where it was: a line's id is made of its
number and its content, results that are in the output are skipped, and what is
under way is not asked for again.

Exit code 1: some requests failed, or lines are left. Exit code 2: nothing was started.`,
		Example: `  gemini-client batch run prompts.jsonl -o results.jsonl
  gemini-client batch run --prompt --max-cost 5 questions.txt -o answers.jsonl
  gemini-client batch run --template ask.tmpl products.csv -o descriptions.jsonl
  gemini-client batch run prompts.jsonl -o results.jsonl --retry-failed`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: files,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := from.load()
			if err != nil {
				return err
			}
			return runBatch(cmd.Context(), c, f, args[0], std)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.Output, "output", "o", "-", "file for the results; one that is there is gone on with")
	flags.BoolVar(&f.Text, "prompt", false, "each line is a prompt")
	flags.StringVar(&f.template, "template", "", "file with a Go template (text/template) that makes a prompt of each line's fields, as in {{.name}}")
	flags.BoolVar(&f.CSV, "csv", false, "FILE is a CSV file for --template (default: if its name ends so)")
	flags.StringVarP(&f.Model, "model", "m", "", "model of lines that name none (default: the service's OPENROUTER_MODEL)")
	flags.IntVar(&f.MaxInFlight, "max-in-flight", 200, "requests that are submitted and have no result yet")
	flags.Float64Var(&f.MaxCost, "max-cost", 0, "US dollars after which no more are submitted; what is under way still costs (default: any)")
	flags.DurationVar(&f.Deadline, "deadline", 0, "how long each request may take (default: any time)")
	flags.BoolVar(&f.Ordered, "ordered", false, "write results in the order of the lines, behind those that are there (with --retry-failed: into a new file)")
	flags.BoolVar(&f.RetryFailed, "retry-failed", false, "take failed results out of the output and ask for them again, under new ids")
	flags.BoolVar(&f.json, "json", false, "tell of the progress in JSON objects, one a line")
	flags.StringVar(&f.failures, "failures", "", "file for a sentence about each request that failed")
	completes(cmd, "model", from.models())
	for _, flag := range []string{"output", "template", "failures"} {
		completes(cmd, flag, files)
	}
	return cmd
}

// runBatch runs a batch and says what came of it.
func runBatch(ctx context.Context, c config.Config, f batchFlags, name string, std streams) (err error) {
	if f.MaxInFlight < 1 || f.MaxCost < 0 || f.Deadline < 0 {
		return fmt.Errorf("--max-in-flight %d, --max-cost %v, --deadline %s: want 1 or more, and 0 or more", f.MaxInFlight, f.MaxCost, f.Deadline)
	}
	if err := f.readTemplate(name); err != nil {
		return err
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
	p, err := f.newProgress(name, std.err)
	if err != nil {
		return err
	}
	f.Progress, f.Every = p.tell, p.every
	sum, err := batchrun.Run(ctx, backend, f.Options)
	return p.end(sum, err)
}

// readTemplate reads the template, if there is one, for an input of this name.
func (f *batchFlags) readTemplate(name string) error {
	f.CSV = f.CSV || f.template != "" && strings.EqualFold(filepath.Ext(name), ".csv")
	switch {
	case f.CSV && f.template == "":
		return errors.New("--csv: a row is no request by itself; give --template")
	case f.Text && f.template != "":
		return errors.New("--prompt and --template exclude each other")
	case f.template == "":
		return nil
	}
	text, err := os.ReadFile(f.template)
	if err != nil {
		return fmt.Errorf("--template: %w", err)
	}
	f.Template, err = batchrun.NewTemplate(strings.TrimSuffix(string(text), "\n"))
	return err
}

func openInput(name string, in io.Reader) (io.ReadCloser, error) {
	if name == "-" {
		return batchrun.Interruptible(in), nil
	}
	return os.Open(name) //nolint:gosec // the user's own file
}
