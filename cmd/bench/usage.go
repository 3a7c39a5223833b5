package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU time in /proc. It is a hundredth of a second wherever
// Linux runs Go.
const tick = 10 * time.Millisecond

// usage is what a process has used so far. It is read from /proc: the benchmark
// measures on Linux.
type usage struct {
	cpu    time.Duration // user and system
	memory int64         // resident bytes now
	peak   int64         // resident bytes at most
}

// usage reads what the process has used.
func (p *child) usage() (usage, error) {
	dir := filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat")) //nolint:gosec // of /proc
	if err != nil {
		return usage{}, err
	}
	status, err := os.ReadFile(filepath.Join(dir, "status")) //nolint:gosec // of /proc
	if err != nil {
		return usage{}, err
	}
	return parseUsage(string(stat), string(status))
}

// sum adds the usage of several processes.
func sum(all []*child) (total usage, err error) {
	for _, p := range all {
		u, err := p.usage()
		if err != nil {
			return usage{}, err
		}
		total.cpu += u.cpu
		total.memory += u.memory
		total.peak += u.peak
	}
	return total, nil
}

var errProc = errors.New("/proc is not as expected")

// parseUsage reads /proc/<pid>/stat and /proc/<pid>/status (proc(5)).
func parseUsage(stat, status string) (u usage, err error) {
	_, rest, ok := cutLast(stat, ")") // the name before it may hold anything
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return usage{}, fmt.Errorf("%w: stat: %q", errProc, stat)
	}
	for _, field := range fields[11:13] { // utime and stime
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return usage{}, fmt.Errorf("%w: stat: %w", errProc, err)
		}
		u.cpu += time.Duration(ticks) * tick
	}
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "VmHWM":
			u.peak, err = kibibytes(value)
		case "VmRSS":
			u.memory, err = kibibytes(value)
		}
		if err != nil {
			return usage{}, err
		}
	}
	return u, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func kibibytes(value string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: status: %w", errProc, err)
	}
	return n << 10, nil
}
