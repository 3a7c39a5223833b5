package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gemini-client/service/servicetest"
)

// shell is a bash in which gemini-client is a command.
type shell struct {
	path      string   // bash
	directory string   // where it works
	variables []string // of its environment, besides PATH and HOME
}

// newShell skips the test where there is no bash.
func newShell(t *testing.T, variables ...string) *shell {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skipf("NOT TESTED: there is no bash: %v", err)
	}
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{path: bash, directory: t.TempDir(), variables: variables}
	// Without the variable of the race detector each process would take a second to end.
	s.write(t, "bin/gemini-client", fmt.Sprintf("#!%s\n%s=1 GORACE=atexit_sleep_ms=0 exec %q \"$@\"\n", bash, asProgram, me))
	return s
}

// write puts a file into the shell's directory.
func (s *shell) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(s.directory, name)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// command is a script that is not yet started. It ends with the test, and so does what it
// has started.
func (s *shell) command(t *testing.T, script string, variables ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), servicetest.Patience)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, s.path, "-c", script)
	c.Dir = s.directory
	c.Env = append(append([]string{
		"PATH=" + filepath.Join(s.directory, "bin") + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + s.directory,
	}, s.variables...), variables...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	return c
}

// run runs a script to its end.
func (s *shell) run(t *testing.T, script string, variables ...string) (code int, stdout, stderr string) {
	t.Helper()
	c := s.command(t, script, variables...)
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); c.ProcessState == nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), out.String(), errs.String()
}
