//go:build integration

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"gemini-client/service"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/telemetry"
)

// The binary of these tests is also every process that the benchmark starts: its
// parts, and the service.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		goleak.VerifyTestMain(m)
		return
	}
	var err error
	switch os.Args[1] {
	case roleWord:
		err = execute(context.Background(), os.Args[1:])
	case "version":
		_, err = fmt.Fprintln(os.Stdout, "gemini-client test")
	case "provision", "serve":
		err = worker(os.Args[1])
	default:
		goleak.VerifyTestMain(m)
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// worker is as much of gemini-client as the benchmark uses.
func worker(command string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c, _, err := config.Load("", "")
	if err != nil {
		return err
	}
	tel, err := telemetry.Setup(ctx, telemetry.Config{LogLevel: "INFO", Output: os.Stdout})
	if err != nil {
		return err
	}
	defer tel.Shutdown(context.Background())
	if command == "serve" {
		s, err := service.New(c, "test", tel)
		if err != nil {
			return err
		}
		return s.Run(ctx)
	}
	conn, err := bus.Connect(ctx, c.NATS, tel.Logger)
	if err != nil {
		return err
	}
	defer conn.Close()
	return bus.NewTopology(c, conn.MaxPayload()).Provision(ctx, conn.JetStream)
}

// self is this binary.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
