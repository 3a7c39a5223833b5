//go:build integration

package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

func TestMain(m *testing.M) { os.Exit(testAll(m)) }

// testAll builds the images, runs the tests and removes what they left.
func testAll(m *testing.M) int {
	ctx := context.Background()
	log.SetDefault(log.NewNoopLogger())
	if err := errors.Join(begin(), configure(os.Setenv)); err != nil {
		return complain(err)
	}
	docker, err := reach(ctx)
	run, code, sentence := presence(err, os.Getenv("REQUIRE_DOCKER"))
	if !run {
		fmt.Fprintln(os.Stderr, sentence)
		return code
	}
	defer docker.Close()
	defer interruptible(ctx, docker)()
	tidy(ctx, docker)
	if err := buildImages(ctx, docker); err != nil {
		_, failed := leave(ctx, docker)
		return complain(errors.Join(err, failed))
	}
	code = m.Run()
	if left, err := leave(ctx, docker); len(left) > 0 || err != nil {
		return complain(errors.Join(err, fmt.Errorf("tests left behind, now removed: %s", strings.Join(left, ", "))))
	}
	return code
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "stack:", err)
	return 1
}

// configure gives Testcontainers the settings that this machine needs, where
// its user has chosen none. The reaper is off: see the package comment. Inside
// a container the library takes an engine behind a socket to be at the gateway,
// which is wrong where it runs beside the tests.
func configure(set func(name, value string) error) error {
	settings := map[string]string{"TESTCONTAINERS_RYUK_DISABLED": "true"}
	engine := os.Getenv("DOCKER_HOST")
	if _, err := os.Stat("/.dockerenv"); err == nil && (engine == "" || strings.HasPrefix(engine, "unix:")) {
		settings["TESTCONTAINERS_HOST_OVERRIDE"] = "localhost"
	}
	for name, value := range settings {
		if _, chosen := os.LookupEnv(name); chosen {
			continue
		}
		if err := set(name, value); err != nil {
			return err
		}
	}
	return nil
}

// reach returns a client of the engine if that answers. The caller closes it.
func reach(ctx context.Context) (docker *testcontainers.DockerClient, err error) {
	defer func() {
		if p := recover(); p != nil { // so the library says that it finds no engine
			err = fmt.Errorf("%v", p)
		}
	}()
	docker, err = testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, err
	}
	_, err = docker.Ping(ctx, client.PingOptions{})
	return docker, err
}

// presence says what a run does about its engine, and if it does not run, its
// exit code and a sentence for people.
func presence(engine error, required string) (run bool, code int, sentence string) {
	switch {
	case engine == nil:
		return true, 0, ""
	case required == "" || required == "0" || required == "false":
		return false, 0, fmt.Sprintf("stack: SKIPPED, no test has run: no Docker engine answers (%v). With REQUIRE_DOCKER=1 this is a failure.", engine)
	}
	return false, 1, fmt.Sprintf("stack: FAILED, no test has run: REQUIRE_DOCKER=%s, and no Docker engine answers: %v", required, engine)
}

func TestWithoutAnEngineNothingPassesForTested(t *testing.T) {
	t.Parallel()
	away := errors.New("no such socket")
	tests := map[string]struct {
		engine   error
		required string
		run      bool
		code     int
		says     string
	}{
		"engine":                       {nil, "", true, 0, ""},
		"engine, required":             {nil, "1", true, 0, ""},
		"no engine":                    {away, "", false, 0, "SKIPPED"},
		"no engine, not required":      {away, "0", false, 0, "SKIPPED"},
		"no engine, required":          {away, "1", false, 1, "REQUIRE_DOCKER=1"},
		"no engine, required in words": {away, "true", false, 1, "REQUIRE_DOCKER=true"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run, code, sentence := presence(test.engine, test.required)
			if run != test.run || code != test.code {
				t.Errorf("run %t, exit code %d, want %t, %d", run, code, test.run, test.code)
			}
			if !strings.Contains(sentence, test.says) || test.engine != nil && !strings.Contains(sentence, test.engine.Error()) {
				t.Errorf("the sentence %q lacks %q or the reason", sentence, test.says)
			}
		})
	}
}
