//go:build integration

package stack

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// root is the repository, seen from where the tests run.
const root = "../../.."

// stamp is the version that the image under test is built with.
const stamp = "v0.0.0-stack"

// The variables that name images.
const (
	natsImage       = "NATS_IMAGE"
	jaegerImage     = "JAEGER_IMAGE"
	prometheusImage = "PROMETHEUS_IMAGE"
	proxyImage      = "PROXY_IMAGE"
	goImage         = "GO_IMAGE" // of the build stage; the Dockerfile has a default
)

// image returns the image that a variable names: its value, what `make images`
// wrote down, or the official one.
func image(variable string) string {
	if name := os.Getenv(variable); name != "" {
		return name
	}
	if name := written(variable); name != "" {
		return name
	}
	return map[string]string{
		natsImage:       "nats:2.15.2-alpine",
		jaegerImage:     "cr.jaegertracing.io/jaegertracing/jaeger:2.20.0",
		prometheusImage: "prom/prometheus:v3.16.0",
		proxyImage:      "ghcr.io/sagernet/sing-box:v1.14.1",
	}[variable]
}

func written(variable string) string {
	file, err := os.ReadFile(filepath.Join(root, ".tools/images.env"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(file)) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name == variable {
			return value
		}
	}
	return ""
}

// serviceImage and simulatorImage are tags of this run alone, so that two runs
// on one engine do not meet.
func serviceImage() string   { return "gemini-client:stack-" + os.Getenv(envRun) }
func simulatorImage() string { return "openrouter-sim:stack-" + os.Getenv(envRun) }

// buildStage is the tag of the last run's build stage, the cache of the next
// run, on engines without buildx: they have no cache that is ever emptied, only
// images without names, one of a gigabyte for each change of the source.
const buildStage = "gemini-client-build:stack"

// buildImages builds the service's image and the simulator's, as people do:
// with the docker command and deploy/Dockerfile.
func buildImages(ctx context.Context, docker *testcontainers.DockerClient) error {
	host := docker.DaemonHost()
	if !buildx(ctx) {
		before, _ := docker.ImageInspect(ctx, buildStage) // there may be none
		if err := buildImage(ctx, host, buildStage, "build"); err != nil {
			return err
		}
		if after, err := docker.ImageInspect(ctx, buildStage); err == nil && before.ID != "" && before.ID != after.ID {
			_, _ = docker.ImageRemove(ctx, before.ID, client.ImageRemoveOptions{PruneChildren: true}) // another run may use it
		}
	}
	label := "--label=" + runLabel + "=" + os.Getenv(envRun)
	if err := buildImage(ctx, host, serviceImage(), "gemini-client", label); err != nil {
		return err
	}
	return buildImage(ctx, host, simulatorImage(), "openrouter-sim", label)
}

func buildx(ctx context.Context) bool {
	return exec.CommandContext(ctx, "docker", "buildx", "version").Run() == nil
}

// buildImage builds with the engine's own builder: the image of any other would
// stay in that one's cache.
func buildImage(ctx context.Context, host, tag, target string, more ...string) error {
	args := append([]string{"build", "--file", "deploy/Dockerfile", "--target", target, "--tag", tag, "--network", "host", "--build-arg", "VERSION=" + stamp}, more...)
	for variable, value := range map[string]string{goImage: image(goImage), "GOPROXY": os.Getenv("GOPROXY")} {
		if value != "" {
			args = append(args, "--build-arg", variable+"="+value)
		}
	}
	build := exec.CommandContext(ctx, "docker", append(args, ".")...)
	build.Dir, build.Env = root, append(os.Environ(), "DOCKER_HOST="+host, "BUILDX_BUILDER=default") // the command may know another engine
	if !buildx(ctx) {
		build.Env = append(build.Env, "DOCKER_BUILDKIT=0")
	}
	var output bytes.Buffer
	build.Stdout, build.Stderr = &output, &output
	if err := build.Run(); err != nil {
		return fmt.Errorf("docker %s: %w\n%s", strings.Join(build.Args[1:], " "), err, tail(output.String(), 50))
	}
	return nil
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
