package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/pflag"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := execute(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// execute is the program: the benchmark, or one of the parts that it starts.
func execute(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == roleWord {
		return play(ctx, args[1:], os.Stdin, os.Stdout)
	}
	o, err := parse(args, os.Stdout)
	if err != nil {
		return err
	}
	if o.pprof != "" {
		if err := o.profiled(ctx); err != nil || o.buildOnly {
			return err
		}
	}
	return measureAll(ctx, o, os.Stdout, newProgress(os.Stderr))
}

// profiled makes a build with a profiler the one that is measured.
func (o *options) profiled(ctx context.Context) error {
	if err := os.MkdirAll(o.pprof, 0o750); err != nil { //nolint:gosec // the folder that the command line names
		return err
	}
	o.worker = filepath.Join(o.pprof, "gemini-client")
	if o.built {
		return nil
	}
	return buildProfiled(ctx, o.source, o.worker)
}

// report is what is written as JSON.
type report struct {
	Machine machine  `json:"machine"`
	Runs    int      `json:"runs"`
	Results []result `json:"results"`
}

// measureAll runs the scenarios that are asked for and reports them. What was
// measured before a failure is reported all the same.
func measureAll(ctx context.Context, o options, out io.Writer, p *progress) error {
	b, all := &bench{options: o, progress: p}, report{Machine: thisMachine(o), Runs: o.runs}
	_, _ = fmt.Fprintln(out, all.Machine)
	var failed error
	for _, s := range o.chosen() {
		r, err := b.measure(ctx, s)
		p.clear()
		if len(r.Samples) > 0 {
			all.Results = append(all.Results, r)
			err = errors.Join(err, r.print(out))
		}
		if err != nil {
			failed = err
			break
		}
	}
	return errors.Join(failed, all.write(o))
}

// write writes the files that are asked for.
func (r report) write(o options) error {
	var errs []error
	if o.json != "" {
		text, err := json.MarshalIndent(r, "", "  ")
		errs = append(errs, err, os.WriteFile(o.json, append(text, '\n'), 0o600))
	}
	if o.svg != "" {
		errs = append(errs, os.WriteFile(o.svg, []byte(plot(r.Results, r.Machine)), 0o600))
	}
	return errors.Join(errs...)
}
