package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// progress is one plain line, written over on a terminal, and elsewhere written
// anew when there is something to tell. A library of bars would be a dependency
// for one number, and would draw while the machine is measured.
type progress struct {
	out      io.Writer
	terminal bool
	last     time.Time
}

// progressTime is between two lines, by whether they are written over.
var progressTime = map[bool]time.Duration{true: 500 * time.Millisecond, false: 30 * time.Second} //nolint:gochecknoglobals // a constant

func newProgress(out *os.File) *progress {
	return &progress{out: out, terminal: term.IsTerminal(int(out.Fd()))}
}

func (p *progress) show(line string) {
	if time.Since(p.last) < progressTime[p.terminal] {
		return
	}
	p.last = time.Now()
	if p.terminal {
		_, _ = fmt.Fprintf(p.out, "\r\x1b[K%s", line)
	} else {
		_, _ = fmt.Fprintln(p.out, line)
	}
}

// clear takes the line away.
func (p *progress) clear() {
	if p.terminal {
		_, _ = fmt.Fprint(p.out, "\r\x1b[K")
	}
}
