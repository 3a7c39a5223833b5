package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gemini-client/service/bus"
)

// Status is what came of a check.
type Status string

// The statuses. A warning is what works and will not for long, or works less well than it
// could.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
	Skip Status = "skip"
)

// Check is one thing that was looked at.
type Check struct {
	Group   string   `json:"group"`
	Name    string   `json:"name"`
	Status  Status   `json:"status"`
	Found   string   `json:"found"`
	Details []string `json:"details,omitempty"` // of what was found, a line each
	WayOut  string   `json:"way_out,omitempty"` // of a warning or a failure
}

// Report is everything that was looked at.
type Report struct {
	Time    time.Time      `json:"time"`
	Version string         `json:"version"`
	As      bus.Role       `json:"as"`
	Status  Status         `json:"status"` // the worst: fail, warn or ok
	Count   map[Status]int `json:"count"`
	Checks  []Check        `json:"checks"`
}

// conclude counts the checks and finds the worst of them.
func (r *Report) conclude() {
	r.Status, r.Count = OK, map[Status]int{OK: 0, Warn: 0, Fail: 0, Skip: 0}
	for _, c := range r.Checks {
		r.Count[c.Status]++
	}
	for _, worst := range []Status{Fail, Warn} {
		if r.Count[worst] > 0 {
			r.Status = worst
			return
		}
	}
}

// Text is the page for people.
func (r *Report) Text(out io.Writer) {
	width := 0
	for _, c := range r.Checks {
		width = max(width, len([]rune(c.Name)))
	}
	indent := strings.Repeat(" ", width+10)
	group := ""
	for _, c := range r.Checks {
		if c.Group != group {
			group = c.Group
			_, _ = fmt.Fprintln(out, group)
		}
		_, _ = fmt.Fprintf(out, "  %-4s  %s%s  %s\n", c.Status, c.Name, strings.Repeat(" ", width-len([]rune(c.Name))), c.Found)
		for _, line := range c.Details {
			_, _ = fmt.Fprintf(out, "%s- %s\n", indent, line)
		}
		if c.WayOut != "" {
			_, _ = fmt.Fprintf(out, "%s> %s\n", indent, c.WayOut)
		}
	}
	parts := []string{}
	for _, s := range []Status{Fail, Warn, Skip, OK} {
		if n := r.Count[s]; n > 0 || s == OK {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	_, _ = fmt.Fprintf(out, "\n%s, seen as %s: %s\n", summary(r.Status), r.As, strings.Join(parts, ", "))
}

func summary(worst Status) string {
	switch worst {
	case Fail:
		return "Something is wrong"
	case Warn:
		return "It works, with warnings"
	case OK, Skip:
	}
	return "All right"
}

// column gathers the checks of a group.
type column struct {
	group  string
	checks []Check
}

func (c *column) add(status Status, name, wayOut, found string, args ...any) {
	c.addDetails(status, name, wayOut, nil, found, args...)
}

func (c *column) addDetails(status Status, name, wayOut string, details []string, found string, args ...any) {
	c.checks = append(c.checks, Check{Group: c.group, Name: name, Status: status, Found: fmt.Sprintf(found, args...), Details: details, WayOut: wayOut})
}

func (c *column) ok(name, found string, args ...any)   { c.add(OK, name, "", found, args...) }
func (c *column) skip(name, found string, args ...any) { c.add(Skip, name, "", found, args...) }

// skipAll skips checks for the same reason.
func (c *column) skipAll(why string, names ...string) {
	for _, name := range names {
		c.skip(name, "%s", why)
	}
}

// maxDetails bounds the lines of one check: a page is for people.
const maxDetails = 12

func shortened(details []string) []string {
	if len(details) <= maxDetails {
		return details
	}
	return append(slices.Clone(details[:maxDetails-1]), fmt.Sprintf("and %d more", len(details)-maxDetails+1))
}
