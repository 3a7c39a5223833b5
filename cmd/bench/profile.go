package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// The service has no profiler. A build of it for the benchmark gets one: go build
// puts this file beside its main package, which costs every other build nothing.
//
//go:embed overlay/profile.go.txt
var profiler []byte

// Endings of profiles, as the profiler writes them.
const (
	cpuProfile    = ".cpu.pprof"
	allocsProfile = ".allocs.pprof"
	heapProfile   = ".heap.pprof"
)

// buildProfiled builds the service in the folder source with the profiler.
func buildProfiled(ctx context.Context, source, to string) error {
	source, err := filepath.Abs(source)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gemini-bench-build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a folder in the temporary directory
	file, overlay := filepath.Join(dir, "profile.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(source, "cmd", "gemini-client", "bench_profile.go"): file}})
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(file, profiler, 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-overlay", overlay, "-o", to, "./cmd/gemini-client") //nolint:gosec // Go's own tool
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s with the profiler: %w\n%s", source, err, out)
	}
	return nil
}

// profileBase is where the profiles of a worker go, without their endings; "" is
// nowhere.
func (b *bench) profileBase(c contender, worker string) string {
	if b.options.pprof == "" || c.path == "" {
		return ""
	}
	return filepath.Join(b.options.pprof, strings.ReplaceAll(b.scenario+"-"+c.name+"-"+worker, " ", "-"))
}

// forget deletes the profiles of an earlier run, which would pass for new ones.
func forget(base string) error {
	if base == "" {
		return nil
	}
	var errs []error
	for _, ending := range []string{cpuProfile, allocsProfile, heapProfile} {
		if err := os.Remove(base + ending); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// profile has a worker with a profiler write one of its profiles, and waits for it.
func (p *child) profile(ctx context.Context, s syscall.Signal, ending string) error {
	if p.profiles == "" {
		return nil
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	for {
		if _, err := os.Stat(p.profiles + ending); err == nil {
			return nil
		}
		if pause(ctx, retryTime) != nil {
			return fmt.Errorf("%s has written no profile: was it built with --pprof?", p.name)
		}
	}
}

// allProfiles has the workers end their CPU profiles; heapProfiles has them show
// their heaps as they are.
func (s *stage) allProfiles(ctx context.Context) error {
	var errs []error
	for _, p := range s.workers {
		errs = append(errs, p.profile(ctx, syscall.SIGUSR1, allocsProfile))
	}
	return errors.Join(errs...)
}

func (s *stage) heapProfiles(ctx context.Context) error {
	var errs []error
	for _, p := range s.workers {
		errs = append(errs, p.profile(ctx, syscall.SIGUSR2, heapProfile))
	}
	return errors.Join(errs...)
}
