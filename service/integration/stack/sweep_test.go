//go:build integration

package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
)

// runLabel is on everything that a run leaves with the engine. Its value is the
// run's id, which also has the time when the run began. Testcontainers' own session is
// no such id: two runs from one shell share it.
const runLabel = "gemini-client.stack.run"

// envRun holds this run's id.
const envRun = "GEMINI_CLIENT_STACK_RUN"

// leftover is the age at which a run is over: its tests are stopped sooner.
const leftover = time.Hour

// begin gives this run its id.
func begin() error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	return os.Setenv(envRun, id.String())
}

// ours is the label of this run.
func ours() map[string]string { return map[string]string{runLabel: os.Getenv(envRun)} }

// thisRun is what a sweep at the end removes.
func thisRun(run string) bool { return run == os.Getenv(envRun) }

// oldRun is what a sweep at the start removes: what runs have left that were
// killed. Others may be running.
func oldRun(run string) bool {
	id, err := uuid.Parse(run)
	if err != nil || id.Version() != 7 {
		return false
	}
	return time.Since(time.Unix(id.Time().UnixTime())) > leftover
}

// sweep removes every container and network of the runs that are meant, and
// names them.
func sweep(ctx context.Context, docker *testcontainers.DockerClient, meant func(run string) bool) (left []string, err error) {
	labelled := make(client.Filters).Add("label", runLabel)
	containers, err := docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: labelled})
	if err != nil {
		return nil, fmt.Errorf("look for leftovers: %w", err)
	}
	for _, c := range containers.Items {
		if meant(c.Labels[runLabel]) {
			left = append(left, strings.Join(c.Names, " "))
			_, failed := docker.ContainerRemove(ctx, c.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
			err = errors.Join(err, failed)
		}
	}
	networks, failed := docker.NetworkList(ctx, client.NetworkListOptions{Filters: labelled})
	if failed != nil {
		return left, errors.Join(err, fmt.Errorf("look for leftovers: %w", failed))
	}
	for _, n := range networks.Items {
		if meant(n.Labels[runLabel]) {
			left = append(left, "network "+n.Name)
			_, failed := docker.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{})
			err = errors.Join(err, failed)
		}
	}
	return left, err
}

// removeImages removes what runs that are meant have built.
func removeImages(ctx context.Context, docker *testcontainers.DockerClient, meant func(run string) bool) {
	images, err := docker.ImageList(ctx, client.ImageListOptions{Filters: make(client.Filters).Add("label", runLabel)})
	if err != nil {
		fmt.Fprintln(os.Stderr, "stack: look for images:", err)
		return
	}
	for _, i := range images.Items {
		if !meant(i.Labels[runLabel]) {
			continue
		}
		for _, tag := range i.RepoTags {
			_, _ = docker.ImageRemove(ctx, tag, client.ImageRemoveOptions{PruneChildren: true}) // somebody may use it by now
		}
	}
}

// tidy removes what earlier runs have left. What it cannot remove stops nobody.
func tidy(ctx context.Context, docker *testcontainers.DockerClient) {
	left, err := sweep(ctx, docker, oldRun)
	if len(left) > 0 {
		fmt.Fprintln(os.Stderr, "stack: removed what earlier runs have left behind:", strings.Join(left, ", "))
	}
	if err != nil {
		complain(err)
	}
	removeImages(ctx, docker, oldRun)
}

// leave removes everything of this run; KEEP leaves the images.
func leave(ctx context.Context, docker *testcontainers.DockerClient) (left []string, err error) {
	left, err = sweep(ctx, docker, thisRun)
	if os.Getenv("KEEP") != "" {
		fmt.Fprintln(os.Stderr, "stack: kept", serviceImage(), simulatorImage())
		return left, err
	}
	removeImages(ctx, docker, thisRun)
	return left, err
}

// interruptible lets SIGINT and SIGTERM end the run with nothing left behind,
// until stop is called, which waits for an end that has begun.
func interruptible(ctx context.Context, docker *testcontainers.DockerClient) (stop func()) {
	signals, over, ended := make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer close(ended)
		select {
		case <-over:
		case s := <-signals:
			fmt.Fprintf(os.Stderr, "stack: %s, removing containers, networks and images\n", s)
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			for left := []string{""}; len(left) > 0 && ctx.Err() == nil; { // tests still start some
				left, _ = leave(ctx, docker)
			}
			os.Exit(1)
		}
	}()
	return func() {
		signal.Stop(signals)
		close(over)
		<-ended
	}
}

func TestOnlyOldRunsAreSweptAway(t *testing.T) {
	t.Parallel()
	old := uuid.MustParse("018bcfe5-6800-7000-8000-000000000000") // of November 2023
	if !oldRun(old.String()) {
		t.Error("a run of years ago is not old")
	}
	for _, run := range []string{os.Getenv(envRun), uuid.NewString(), "", "somebody's"} {
		if oldRun(run) {
			t.Errorf("run %q is old", run)
		}
	}
}
