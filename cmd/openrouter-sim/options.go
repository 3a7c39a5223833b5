package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"gemini-client/service/openrouter/simulator"
)

// options are the parsed command line.
type options struct {
	addr    string
	config  simulator.Config
	retired []string // models
}

// history is how many calls the program remembers: /generation needs a few, and memory has to stay bounded.
const history = 1000

// parse reads the command line. After --help it has printed the help and returns flag.ErrHelp.
func parse(args []string, stdout, stderr io.Writer) (options, error) {
	o := options{config: simulator.Config{History: history}}
	flags := flag.NewFlagSet("openrouter-sim", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8099", "`address` to listen on; port 0 picks a free one")
	flags.DurationVar(&o.config.Latency, "latency", 0, "time to the first token")
	flags.DurationVar(&o.config.TokenInterval, "token-interval", 0, "time between two chunks")
	flags.Float64Var(&o.config.ErrorRate, "error-rate", 0, "`fraction` of calls, 0 to 1, answered with a 5xx")
	flags.IntVar(&o.config.RateLimit, "rate-limit", 0, "`calls` a minute for one key; 0 is any number")
	flags.Uint64Var(&o.config.Seed, "seed", 0, "`number` that decides which calls fail")
	flags.Func("storm", "`period/duration` of 429 storms, such as 60s/10s: the last 10 of every 60 seconds", func(text string) error {
		return parseStorm(text, &o.config.Storm)
	})
	batchFlags(flags, &o.config.Batch)
	flags.Func("retired", "`model` that is gone, with 404 \"No endpoints found\"; may be repeated", func(model string) error {
		o.retired = append(o.retired, model)
		return nil
	})
	flags.Func("expires", "`model=date` that GET /model shows as its end, such as google/gemini-2.5-flash=2026-12-01; may be repeated", func(text string) error {
		return parseExpiry(text, &o.config)
	})
	flags.Func("key", "accepted API `key`; may be repeated; without it, every key that begins with sk-or-", func(key string) error {
		o.config.Keys = append(o.config.Keys, key)
		return nil
	})
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		printHelp(stdout, flags)
		return o, err
	}
	if err == nil {
		err = o.check(flags.Args())
	}
	if err != nil {
		say(stderr, "openrouter-sim --help shows the flags\n")
	}
	return o, err
}

// check returns every problem that the parser does not find.
func (o options) check(rest []string) error {
	var problems []error
	if len(rest) > 0 {
		problems = append(problems, fmt.Errorf("unknown argument %q", rest[0]))
	}
	if o.config.Latency < 0 || o.config.TokenInterval < 0 {
		problems = append(problems, errors.New("--latency and --token-interval cannot be negative"))
	}
	if !(o.config.ErrorRate >= 0 && o.config.ErrorRate <= 1) {
		problems = append(problems, errors.New("--error-rate must be from 0 to 1"))
	}
	if o.config.Batch.Step < 0 {
		problems = append(problems, errors.New("--batch-step cannot be negative"))
	}
	if o.config.RateLimit < 0 {
		problems = append(problems, errors.New("--rate-limit cannot be negative"))
	}
	return errors.Join(problems...)
}

// batchFlags adds the flags that are about batches.
func batchFlags(flags *flag.FlagSet, batch *simulator.BatchConfig) {
	flags.DurationVar(&batch.Step, "batch-step", 0, "how long a batch stays in each status; 0 moves it on with each request that reads it")
	flags.BoolVar(&batch.NoItemCost, "batch-no-item-cost", false, "leave the cost out of the usage of a batch's items")
	flags.BoolVar(&batch.AllKeys, "batch-all-keys", false, "show every batch to every key")
	flags.Func("batch-names", "the error of a failed batch names its invalid item by `custom_id`, index or nothing (default custom_id)", func(text string) error {
		switch text {
		case "custom_id":
			batch.Names = simulator.NamesCustomID
		case "index":
			batch.Names = simulator.NamesIndex
		case "nothing":
			batch.Names = simulator.NamesNothing
		default:
			return errors.New("must be custom_id, index or nothing")
		}
		return nil
	})
}

// parseExpiry reads model=date.
func parseExpiry(text string, config *simulator.Config) error {
	model, date, _ := strings.Cut(text, "=")
	if _, err := time.Parse(time.DateOnly, date); model == "" || err != nil {
		return errors.New("not of the form model=YYYY-MM-DD")
	}
	if config.Expirations == nil {
		config.Expirations = map[string]string{}
	}
	config.Expirations[model] = date
	return nil
}

// parseStorm reads period/duration.
func parseStorm(text string, storm *simulator.Storm) error {
	period, duration, _ := strings.Cut(text, "/")
	every, err := time.ParseDuration(period)
	if err != nil {
		return errors.New("not of the form period/duration, such as 60s/10s")
	}
	lasts, err := time.ParseDuration(duration)
	if err != nil || lasts <= 0 || lasts > every {
		return errors.New("the duration must be above 0 and at most the period, such as 60s/10s")
	}
	*storm = simulator.Storm{Every: every, For: lasts}
	return nil
}

// printHelp prints the flags and the faults.
func printHelp(w io.Writer, flags *flag.FlagSet) {
	say(w, `openrouter-sim serves a SIMULATOR of OpenRouter. No model answers.

  openrouter-sim [flags]
  openrouter-sim faults     lists the faults

`)
	flags.SetOutput(w)
	flags.PrintDefaults()
	say(w, "\n")
	printFaults(w)
}

// printFaults lists the markers.
func printFaults(w io.Writer) {
	say(w, `Faults are asked for by a marker in the last user message:

  Why is the sky blue? [sim:429 retry_after=3 times=2]

Several markers follow one another: [sim:503 times=1] [sim:cut times=1] fails two calls and answers the third.
Those named batch_ are about batches: a marker in the prompt of any item asks for them.

`)
	for _, fault := range simulator.Faults() {
		say(w, "  %-24s %s\n", fault.Name, fault.About)
		printParams(w, fault.Params)
	}
	say(w, "\nEvery fault also takes\n\n")
	printParams(w, simulator.CommonParams())
}

func printParams(w io.Writer, params []simulator.ParamInfo) {
	for _, p := range params {
		say(w, "    %-22s   %s\n", p.Name+"="+p.Default, p.About)
	}
}
