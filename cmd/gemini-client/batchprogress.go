package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"gemini-client/cmd/gemini-client/batchrun"
)

// How often progress is told: what is written over, and what is written anew.
const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 10 * time.Second
)

// batchProgress tells how far a batch is: by a bar on a terminal, by a line elsewhere, or in
// JSON.
type batchProgress struct {
	out   io.Writer
	json  bool
	bar   *progressbar.ProgressBar // nil: none
	total int                      // -1: not known
	every time.Duration
}

// newProgress counts the requests of a file, for how long the rest takes.
func (f *batchFlags) newProgress(name string, out io.Writer) (*batchProgress, error) {
	p := &batchProgress{out: out, json: f.json, total: -1, every: lineEvery}
	if name != "-" {
		input, err := os.Open(name) //nolint:gosec // the user's own file
		if err != nil {
			return nil, err
		}
		defer input.Close() //nolint:errcheck // it is only read
		if p.total, err = batchrun.Count(input, f.CSV); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if file, ok := out.(*os.File); ok && !f.json && term.IsTerminal(int(file.Fd())) {
		p.every = barEvery
		p.bar = progressbar.NewOptions(p.total, progressbar.OptionSetWriter(out), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("requests"), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(), progressbar.OptionUseANSICodes(true))
	}
	return p, nil
}

func (p *batchProgress) tell(s batchrun.Summary) {
	switch {
	case p.json:
		p.object(s, "running", nil)
	case p.bar == nil:
		_, _ = fmt.Fprintln(p.out, p.line(s))
	default:
		p.bar.Describe(fmt.Sprintf("%d failed, %d tokens, $%.4f", s.Failed, s.Tokens, s.Cost))
		_ = p.bar.Set(s.Done) // it is a terminal
	}
}

func (p *batchProgress) line(s batchrun.Summary) string {
	text := fmt.Sprintf("%d completed, %d failed, %d tokens, $%.6f, %s", s.Completed, s.Failed, s.Tokens, s.Cost, s.Took.Round(time.Second))
	if s.Skipped > 0 {
		text += fmt.Sprintf("; %d were done before", s.Skipped)
	}
	if left := p.total - s.Done; p.total >= 0 && left > 0 {
		text += fmt.Sprintf("; %d are left", left)
	}
	return text
}

// object tells in JSON.
func (p *batchProgress) object(s batchrun.Summary, state string, err error) {
	o := struct {
		State     string  `json:"state"`
		Total     *int    `json:"total"`
		Completed int     `json:"completed"`
		Failed    int     `json:"failed"`
		Skipped   int     `json:"skipped"`
		Tokens    int     `json:"tokens"`
		Cost      float64 `json:"cost_usd"`
		Took      float64 `json:"took_s"`
		Error     string  `json:"error,omitempty"`
	}{State: state, Completed: s.Completed, Failed: s.Failed, Skipped: s.Skipped, Tokens: s.Tokens, Cost: s.Cost, Took: s.Took.Seconds()}
	if p.total >= 0 {
		o.Total = &p.total
	}
	if err != nil {
		o.Error = err.Error()
	}
	text, _ := json.Marshal(o) // numbers and texts
	_, _ = fmt.Fprintf(p.out, "%s\n", text)
}

// end says how a batch ended. The error is what the command returns.
func (p *batchProgress) end(s batchrun.Summary, err error) error {
	if p.bar != nil {
		_ = p.bar.Finish() // it is a terminal
	}
	state, sentence, returned := "ended", "", error(nil)
	switch {
	case errors.Is(err, context.Canceled):
		state, returned = "stopped", errFailed
		sentence = "Stopped. What was submitted is answered all the same: the same command again gets its results, and goes on."
	case err != nil && s.Done == 0:
		return err
	case err != nil:
		state, returned = "broken", errFailed
		sentence = fmt.Sprintf("gemini-client: %v\nThe same command again goes on.", err)
	case s.OverCost:
		state, returned = "over_cost", errFailed
		sentence = "--max-cost is reached, and lines are left. The same command with a higher one goes on."
	case s.Failed > 0:
		returned = errFailed
	}
	if p.json {
		p.object(s, state, err)
		return returned
	}
	_, _ = fmt.Fprintln(p.out, p.line(s))
	if sentence != "" {
		_, _ = fmt.Fprintln(p.out, sentence)
	}
	return returned
}
