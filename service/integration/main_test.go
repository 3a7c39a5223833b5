//go:build integration

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Environment variables between this test binary and its children.
const (
	envNode    = "GEMINI_CLIENT_TEST_NODE"    // run this nats-server instead of tests
	envBackend = "GEMINI_CLIENT_TEST_BACKEND" // be a backend with the requests of this file
	envBin     = "GEMINI_CLIENT_TEST_BIN"     // where the programs under test are
)

func TestMain(m *testing.M) {
	if node := os.Getenv(envNode); node != "" {
		os.Exit(serveNode(node))
	}
	if file := os.Getenv(envBackend); file != "" {
		os.Exit(serveBackend(file))
	}
	os.Exit(testAll(m))
}

// testAll builds the program under test, runs the tests and removes it again.
func testAll(m *testing.M) int {
	bin, err := os.MkdirTemp("", "gemini-client-integration-")
	if err != nil {
		return complain(err)
	}
	defer os.RemoveAll(bin)
	for name, flags := range map[string][]string{programPlain: nil, programRace: {"-race"}} {
		args := append([]string{"build"}, flags...)
		build := exec.Command("go", append(args, "-o", filepath.Join(bin, name), "gemini-client/cmd/gemini-client")...)
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			return complain(fmt.Errorf("build gemini-client: %w", err))
		}
	}
	if err := os.Setenv(envBin, bin); err != nil {
		return complain(err)
	}
	return m.Run()
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "integration:", err)
	return 1
}

// The two builds of the program under test.
const (
	programPlain = "gemini-client"
	programRace  = "gemini-client-race"
)

func program(name string) string { return filepath.Join(os.Getenv(envBin), name) }
