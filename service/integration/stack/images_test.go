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
	natsImage   = "NATS_IMAGE"
	jaegerImage = "JAEGER_IMAGE"
	proxyImage  = "PROXY_IMAGE"
	goImage     = "GO_IMAGE" // of the build stage; the Dockerfile has a default
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
		natsImage:   "nats:2.15.2-alpine",
		jaegerImage: "cr.jaegertracing.io/jaegertracing/jaeger:2.20.0",
		proxyImage:  "ghcr.io/sagernet/sing-box:v1.14.1",
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
func serviceImage() string   { return "gemini-client:stack-" + testcontainers.SessionID()[:12] }
func simulatorImage() string { return "openrouter-sim:stack-" + testcontainers.SessionID()[:12] }

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
	if err := buildImage(ctx, host, serviceImage(), "gemini-client"); err != nil {
		return err
	}
	return buildImage(ctx, host, simulatorImage(), "openrouter-sim")
}

func buildx(ctx context.Context) bool {
	return exec.CommandContext(ctx, "docker", "buildx", "version").Run() == nil
}

func buildImage(ctx context.Context, host, tag, target string) error {
	args := []string{"build", "--file", "deploy/Dockerfile", "--target", target, "--tag", tag, "--network", "host", "--build-arg", "VERSION=" + stamp}
	for variable, value := range map[string]string{goImage: image(goImage), "GOPROXY": os.Getenv("GOPROXY")} {
		if value != "" {
			args = append(args, "--build-arg", variable+"="+value)
		}
	}
	build := exec.CommandContext(ctx, "docker", append(args, ".")...)
	build.Dir, build.Env = root, append(os.Environ(), "DOCKER_HOST="+host) // the command may know another engine
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

// removeImages removes what buildImages made, unless KEEP is set.
func removeImages(ctx context.Context, docker *testcontainers.DockerClient) {
	if os.Getenv("KEEP") != "" {
		fmt.Fprintln(os.Stderr, "stack: kept", serviceImage(), simulatorImage())
		return
	}
	for _, tag := range []string{serviceImage(), simulatorImage()} {
		_, _ = docker.ImageRemove(ctx, tag, client.ImageRemoveOptions{PruneChildren: true}) // it may not have been built
	}
}

// sweep removes every container and network of this run, and names them.
func sweep(ctx context.Context, docker *testcontainers.DockerClient) (left []string, err error) {
	ours := make(client.Filters).Add("label", "org.testcontainers.sessionId="+testcontainers.SessionID())
	containers, err := docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ours})
	if err != nil {
		return nil, fmt.Errorf("look for leftovers: %w", err)
	}
	for _, c := range containers.Items {
		left = append(left, strings.Join(c.Names, " "))
		if _, err := docker.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
			return left, err
		}
	}
	networks, err := docker.NetworkList(ctx, client.NetworkListOptions{Filters: ours})
	if err != nil {
		return left, fmt.Errorf("look for leftovers: %w", err)
	}
	for _, n := range networks.Items {
		left = append(left, "network "+n.Name)
		if _, err := docker.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{}); err != nil {
			return left, err
		}
	}
	return left, nil
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
