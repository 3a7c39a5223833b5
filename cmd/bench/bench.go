package main

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// A scenario is one of the things that are measured.
type scenario struct {
	name, title string
	once        bool // it is so long that one run of each contender has to do
	contenders  func(*bench) []contender
	run         func(context.Context, *run) error
	targets     []target
}

// A run is one measurement of one contender in one scenario.
type run struct {
	contender contender
	bench     *bench
	title     string
	values    map[metric]float64
	slices    []slice
}

func (r *run) note(m metric, value float64) { r.values[m] = value }

func (r *run) say(what string) { r.bench.progress.show(r.title + ": " + what) }

func (r *run) sayf(format string, args ...any) { r.say(fmt.Sprintf(format, args...)) }

// bench is one execution of the program.
type bench struct {
	options  options
	progress *progress
	scenario string // under way
}

// measure runs a scenario's contenders in alternating order, and judges what came
// out.
func (b *bench) measure(ctx context.Context, s scenario) (result, error) {
	res := result{Scenario: s.name, Title: s.title}
	b.scenario = s.name
	if n := b.options.requests; n > 0 {
		res.Title += fmt.Sprintf("; here with %d requests", n)
	}
	if n := b.options.seconds; n > 0 {
		res.Title += fmt.Sprintf("; here %d seconds each time", n)
	}
	all, runs := s.contenders(b), b.options.runs
	if s.once {
		runs = 1
	}
	for i := range runs {
		for j := range all {
			c := all[(i+j)%len(all)] // each begins in its turn
			r := &run{contender: c, bench: b, values: map[metric]float64{}, title: fmt.Sprintf("%s, run %d of %d, %s", s.name, i+1, runs, c.name)}
			r.say("starting")
			if err := s.run(ctx, r); err != nil {
				return res, fmt.Errorf("%s: %w", r.title, err)
			}
			res.Samples = append(res.Samples, sample{Contender: c.name, Values: r.values, Slices: r.slices})
		}
	}
	res.Medians = map[string]map[metric]float64{}
	for _, c := range res.contenders() {
		res.Medians[c] = map[metric]float64{}
		for _, m := range res.metrics() {
			if v, ok := res.median(c, m); ok {
				res.Medians[c][m] = v
			}
		}
	}
	res.Verdicts = res.judge(s.targets)
	return res, nil
}

// requests is how many a scenario has.
func (b *bench) requests(usual int) int { return cmp.Or(b.options.requests, usual) }

// lasting is how long a scenario measures one state.
func (b *bench) lasting(usual time.Duration) time.Duration {
	return cmp.Or(time.Duration(b.options.seconds)*time.Second, usual)
}

// rest is how long a scenario waits for what ends by itself: not at all in a
// smaller run.
func (b *bench) rest(usual time.Duration) time.Duration {
	if b.options.requests > 0 {
		return 0
	}
	return usual
}
