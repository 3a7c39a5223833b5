package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"gemini-client/events"
)

// screen prints a request and its answer for a person, or the bare result for a
// program.
type screen struct {
	q       question
	out     io.Writer
	colours bool
	spin    *spinner

	run     string // of the deltas that are shown
	attempt int
	next    int    // index of the delta that continues what is shown
	shown   string // of the answer, so far
	lost    bool   // a delta is missing: nothing more of this run is shown
}

func newScreen(std streams, q question) *screen {
	s := &screen{q: q, out: std.out, colours: isTerminal(std.out) && os.Getenv("NO_COLOR") == ""}
	if !q.json && isTerminal(std.err) {
		s.spin = startSpinner(std.err)
	}
	return s
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// dim prints what is not the answer.
func (s *screen) dim(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.colours {
		text = "\x1b[2m" + text + "\x1b[0m"
	}
	_, _ = fmt.Fprintln(s.out, text)
}

func (s *screen) request(subject string, r events.Request) {
	if body, err := json.Marshal(r); err == nil && s.q.events && !s.q.json {
		s.dim("--> %s\n%s\n", subject, indent(body))
	}
}

func indent(body []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, body, "    ", "  ") != nil {
		return string(body)
	}
	return "    " + b.String()
}

// delta prints the next piece. A new run or attempt begins the answer again.
func (s *screen) delta(d events.Delta) {
	if s.q.json {
		return
	}
	if d.Run != s.run || d.Attempt != s.attempt {
		if s.shown != "" {
			s.dim("\n[the answer begins again]")
		}
		s.run, s.attempt, s.next, s.shown, s.lost = d.Run, d.Attempt, 0, "", false
	}
	if d.Index != s.next || s.lost {
		s.lost = true
		return
	}
	s.next++
	s.print(d.Content)
}

func (s *screen) print(text string) {
	if text == "" {
		return
	}
	s.end()
	s.shown += text
	_, _ = io.WriteString(s.out, text)
}

// end stops the spinner.
func (s *screen) end() {
	if s.spin != nil {
		s.spin.stop()
		s.spin = nil
	}
}

// result prints what is missing of the answer and the sum; errFailed if the
// request failed.
func (s *screen) result(callback string, r events.Result, traceID string) error {
	s.end()
	raw, err := r.Encode()
	if err != nil {
		return err
	}
	if s.q.json {
		_, _ = fmt.Fprintf(s.out, "%s\n", raw)
	} else {
		s.answer(r)
		if s.q.events {
			s.dim("\n<-- %s\n%s\n", r.Subject(callback), indent(raw))
		}
		s.dim("%s", sum(r, traceID))
	}
	if r.Status != events.StatusSuccess {
		return errFailed
	}
	return nil
}

// answer prints what the deltas have not shown: the result alone is complete.
func (s *screen) answer(r events.Result) {
	switch {
	case r.Status != events.StatusSuccess:
		if s.shown != "" {
			_, _ = fmt.Fprintln(s.out)
		}
		_, _ = fmt.Fprintf(s.out, "failed (%s): %s\n", *r.ErrorCode, *r.Error)
		return
	case r.Content == nil:
		_, _ = fmt.Fprintf(s.out, "%s\n", r.ToolCalls)
		return
	case strings.HasPrefix(*r.Content, s.shown):
		s.print((*r.Content)[len(s.shown):])
	default:
		s.dim("\n[complete:]")
		s.print(*r.Content)
	}
	_, _ = fmt.Fprintln(s.out)
}

// sum is the line after the answer.
func sum(r events.Result, traceID string) string {
	var parts []string
	if r.ModelUsed != nil {
		parts = append(parts, *r.ModelUsed)
	}
	if r.Usage != nil {
		parts = append(parts, fmt.Sprintf("%d tokens in, %d out", r.Usage.PromptTokens, r.Usage.CompletionTokens))
	}
	if r.Cost != nil {
		parts = append(parts, fmt.Sprintf("$%.6f", *r.Cost))
	}
	if r.ProcessingTimeMS != nil {
		parts = append(parts, time.Duration(*r.ProcessingTimeMS*float64(time.Millisecond)).Round(10*time.Millisecond).String())
	}
	return strings.Join(append(parts, "trace "+traceID), " | ")
}

// spinner turns on a terminal until the first word comes.
type spinner struct {
	w    io.Writer
	quit chan struct{}
	wg   sync.WaitGroup
}

func startSpinner(w io.Writer) *spinner {
	s := &spinner{w: w, quit: make(chan struct{})}
	s.wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-s.quit:
				_, _ = io.WriteString(s.w, "\r\x1b[K")
				return
			case <-tick.C:
				_, _ = fmt.Fprintf(s.w, "\r%c waiting for the answer", `|/-\`[i%4])
			}
		}
	})
	return s
}

func (s *spinner) stop() {
	close(s.quit)
	s.wg.Wait()
}
