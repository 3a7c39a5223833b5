package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// options are the command line.
type options struct {
	worker, workerB  string
	natsServer       string
	runs             int
	scenarios        []string
	requests         int
	tenants          []int
	seconds          int
	json, svg        string
	pprof, source    string
	dir              string
	keep, noFloor    bool
	noTraced         bool
	buildOnly, built bool
}

var errUsage = errors.New("bench --help shows the flags")

// parse reads the command line. After --help it has printed the help and returns
// pflag.ErrHelp.
func parse(args []string, out io.Writer) (o options, err error) {
	flags := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SortFlags = false
	flags.StringVar(&o.worker, "worker", "bin/worker", "the service to measure")
	flags.StringVar(&o.workerB, "worker-b", "", "another build of it, measured alternately with the first")
	flags.BoolVar(&o.noFloor, "no-floor", false, "leave the floor out")
	flags.BoolVar(&o.noTraced, "no-traced", false, "leave out the runs whose spans are exported")
	flags.IntVar(&o.runs, "runs", 5, "how often each contender runs each scenario, in alternating order")
	flags.StringSliceVar(&o.scenarios, "scenario", nil, "which scenarios, by name (default: all)")
	flags.IntVar(&o.requests, "requests", 0, "how many requests a scenario has, in place of its own number")
	flags.IntSliceVar(&o.tenants, "tenants", nil, "how many tenants are declared in flood and tenants, in place of their own numbers; several are measured beside each other")
	flags.IntVar(&o.seconds, "seconds", 0, "how long flood, lanes and tenants measure each state, in place of their own time")
	flags.StringVar(&o.natsServer, "nats-server", "", "a nats-server to start (default: the module in go.mod, as a process of its own)")
	flags.StringVar(&o.json, "json", "", "file for every figure, as JSON")
	flags.StringVar(&o.svg, "svg", "", "file for a plot")
	flags.StringVar(&o.pprof, "pprof", "", "folder for profiles of the service (CPU, allocations, heap at half time): it is built from --source with a profiler")
	flags.StringVar(&o.source, "source", ".", "sources of the service, for --pprof")
	flags.BoolVar(&o.buildOnly, "build-only", false, "only build it")
	flags.BoolVar(&o.built, "built", false, "take what --build-only has built")
	flags.StringVar(&o.dir, "dir", "", "folder for NATS's files and the logs (default: the temporary one)")
	flags.BoolVar(&o.keep, "keep", false, "keep those files")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			printHelp(out, flags)
			return o, err
		}
		return o, fmt.Errorf("%w; %w", err, errUsage)
	}
	return o, o.check(flags.Args())
}

func (o *options) check(rest []string) error {
	known := make([]string, 0, len(scenarios()))
	for _, s := range scenarios() {
		known = append(known, s.name)
	}
	for _, name := range o.scenarios {
		if !slices.Contains(known, name) {
			return fmt.Errorf("--scenario %s: want one of %s; %w", name, strings.Join(known, ", "), errUsage)
		}
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%s is no flag; %w", rest[0], errUsage)
	case o.runs < 1 || o.requests < 0 || o.seconds < 0:
		return fmt.Errorf("--runs is at least 1, --requests and --seconds at least 0; %w", errUsage)
	case slices.ContainsFunc(o.tenants, func(n int) bool { return n < 1 || n > tenantsMost }):
		return fmt.Errorf("--tenants is from 1 to %d; %w", tenantsMost, errUsage)
	}
	for _, path := range []*string{&o.worker, &o.workerB, &o.pprof} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = absolute
	}
	return nil
}

// chosen are the scenarios to run, in their own order.
func (o *options) chosen() []scenario {
	return slices.DeleteFunc(scenarios(), func(s scenario) bool { return len(o.scenarios) > 0 && !slices.Contains(o.scenarios, s.name) })
}

func printHelp(out io.Writer, flags *pflag.FlagSet) {
	_, _ = fmt.Fprint(out, "bench measures the service beside a bare loop (the floor) on the same work.\n\nScenarios:\n")
	for _, s := range scenarios() {
		_, _ = fmt.Fprintf(out, "  %-12s %s\n", s.name, s.title)
	}
	_, _ = fmt.Fprint(out, "\nFlags:\n", flags.FlagUsages())
}
