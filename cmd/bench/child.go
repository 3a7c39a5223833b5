package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// stopTime is how long a process may take to end before it is killed.
const stopTime = 40 * time.Second

// A command is a process to start.
type command struct {
	name, path string
	args, env  []string
	log        string // where its standard error goes; of what is no part, its standard output too
	ready      any    // a part decodes its first line into it; nil: it is no part
	profiles   string // where its profiles go, "" for nowhere
	web        string // its HTTP address, if it has one
}

// A child is a process under measurement, or beside it.
type child struct {
	name     string
	log      string
	profiles string
	web      string
	cmd      *exec.Cmd
	stdin    io.WriteCloser
	lines    *json.Decoder // of a part
	started  time.Time
	ended    chan struct{}
	err      error // of Wait, once ended is closed
}

// startChild starts a process. The environment is that of this process without
// what would configure the service, and the command's own.
func startChild(ctx context.Context, c command) (*child, error) {
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()                                  //nolint:errcheck // the process has its own copy
	cmd := exec.CommandContext(ctx, c.path, c.args...) //nolint:gosec // programs that the command line names
	cmd.Env = append(cleanEnv(os.Environ()), c.env...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = log, log, stopTime
	p := &child{name: c.name, log: c.log, profiles: c.profiles, web: c.web, cmd: cmd, ended: make(chan struct{})}
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if c.ready != nil {
		cmd.Stdout = nil
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		p.lines = json.NewDecoder(out)
	}
	p.started = time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if c.ready != nil {
		if err := p.lines.Decode(c.ready); err != nil {
			return nil, errors.Join(fmt.Errorf("%s did not start: %w\n%s", c.name, err, p.tail()), cmd.Process.Kill(), cmd.Wait())
		}
	}
	go func() { // ends with the process
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// cleanEnv leaves of an environment what programs need to run at all, so that a
// shell's settings of the service do not get into a measurement.
func cleanEnv(env []string) []string {
	var kept []string
	for _, one := range env {
		name, _, _ := strings.Cut(one, "=")
		switch name {
		case "PATH", "HOME", "TMPDIR", "TZ", "LANG", "GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG":
			kept = append(kept, one)
		}
	}
	return kept
}

// report asks a part for its report.
func (p *child) report(into any) error {
	if _, err := io.WriteString(p.stdin, "report\n"); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	if err := p.lines.Decode(into); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// stop ends the process as an operator would, and waits for it.
func (p *child) stop() error {
	if p == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	_ = p.stdin.Close()
	limit := time.NewTimer(stopTime)
	defer limit.Stop()
	select {
	case <-p.ended:
	case <-limit.C:
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("%s did not end within %s of SIGTERM:\n%s", p.name, stopTime, p.tail())
	}
	return nil
}

// gone is an error once the process has ended.
func (p *child) gone() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s ended: %w\n%s", p.name, p.err, p.tail())
	default:
		return nil
	}
}

// tail is the end of what the process has logged.
func (p *child) tail() string {
	const most = 2000
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}
