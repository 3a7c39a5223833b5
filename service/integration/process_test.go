//go:build integration

package integration

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// process is a running child. It is always reaped.
type process struct {
	cmd      *exec.Cmd
	done     chan struct{} // closed when it has been reaped
	expected atomic.Bool   // the test has ended it
}

// spawn starts a child with this environment and no other.
func spawn(output *journal, env []string, name string, args ...string) (*process, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}, env...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = endWithParent()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // the process state has the exit code
	}()
	return p, nil
}

// signal sends a signal that may end the process.
func (p *process) signal(s syscall.Signal) {
	p.expected.Store(true)
	_ = p.cmd.Process.Signal(s) // it may have ended already
}

// kill ends the process as kill -9 does and returns when it is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// exitLimit is how long a process may take to end, by a signal or by itself: more
// than the service gives its calls.
const exitLimit = time.Minute

// exit returns the exit code, -1 if a signal ended the process. It waits; a
// process that does not end gets a SIGQUIT, which makes Go print its stacks, and
// is killed.
func (p *process) exit() int {
	if !p.endsWithin(exitLimit) {
		p.signal(syscall.SIGQUIT)
		if !p.endsWithin(5 * time.Second) {
			p.kill()
		}
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) endsWithin(d time.Duration) bool {
	limit := time.NewTimer(d)
	defer limit.Stop()
	select {
	case <-p.done:
		return true
	case <-limit.C:
		return false
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// journal keeps what children of one name wrote, by line.
type journal struct {
	mu      sync.Mutex
	lines   []logLine
	partial []byte
}

type logLine struct {
	at   time.Time
	text string
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.partial = append(j.partial, p...)
	for {
		line, rest, whole := bytes.Cut(j.partial, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		j.lines = append(j.lines, logLine{time.Now(), string(line)})
		j.partial = append([]byte(nil), rest...)
	}
}

// find returns the lines that hold a text.
func (j *journal) find(text string) []logLine {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []logLine
	for _, line := range j.lines {
		if strings.Contains(line.text, text) {
			found = append(found, line)
		}
	}
	return found
}
