package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/events/client"
	"gemini-client/events/client/clienttest"
)

// What README shows.
func Example() {
	nc, stop := service()
	defer stop()
	ctx := context.Background()
	check := func(err error) {
		if err != nil {
			log.Panic(err)
		}
	}

	c, err := client.New(nc)
	check(err)
	h, err := c.Submit(ctx, events.Request{Prompt: "Why is the sky blue?"})
	check(err)
	result, err := h.Result(ctx) // of h.ID(), also after a restart: c.Open(id)
	check(err)
	fmt.Println(*result.Content)
	// Output: an answer to: Why is the sky blue?
}

func ExampleClient_Submit() {
	nc, stop := service() // nats.Connect(url)
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	c, err := client.New(nc)
	if err != nil {
		log.Panic(err)
	}
	h, err := c.Submit(ctx, events.Request{Prompt: "Why is the sky blue?"})
	if err != nil {
		log.Panic(err) // it says the way out
	}
	result, err := h.Result(ctx)
	var failed *client.FailedError
	switch {
	case errors.As(err, &failed):
		fmt.Println("it failed:", failed.Code)
	case err == nil:
		fmt.Println(*result.Content)
	}
	// Output: an answer to: Why is the sky blue?
}

func ExampleHandle_Deltas() {
	nc, stop := service() // nats.Connect(url)
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	check := func(err error) {
		if err != nil {
			log.Panic(err)
		}
	}

	c, err := client.New(nc)
	check(err)
	h, err := c.Submit(ctx, events.Request{Prompt: "Why is the sky blue?", Stream: true})
	check(err)
	for delta, err := range h.Deltas(ctx) {
		check(err)
		fmt.Print(delta.Content)
	}
	// Output: an answer to: Why is the sky blue?
}

func ExampleClient_Open() {
	nc, stop := service()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	c, err := client.New(nc)
	if err != nil {
		log.Panic(err)
	}
	h, err := c.Submit(ctx, events.Request{Prompt: "Why is the sky blue?"})
	if err != nil {
		log.Panic(err)
	}
	id := h.ID() // keep it: after a restart the request is found by it

	again, err := c.Open(id)
	if err != nil {
		log.Panic(err)
	}
	result, err := again.Result(ctx)
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(*result.Content)
	// Output: an answer to: Why is the sky blue?
}

// service runs the service for an example, and returns a backend's connection.
func service() (*nats.Conn, func()) {
	e := &exampleTB{ctx: context.Background()}
	nc := clienttest.Start(e, clienttest.WithAnswer(func(prompt string) string { return "an answer to: " + prompt }))
	return nc, func() {
		for i := range e.ends {
			e.ends[len(e.ends)-1-i]()
		}
	}
}

// exampleTB is a test for an example, which has none: what goes wrong ends it.
type exampleTB struct {
	testing.TB

	ctx  context.Context //nolint:containedctx // as of a test
	ends []func()
}

func (e *exampleTB) Helper()                   {}
func (e *exampleTB) Context() context.Context  { return e.ctx }
func (e *exampleTB) Cleanup(end func())        { e.ends = append(e.ends, end) }
func (e *exampleTB) Failed() bool              { return false }
func (e *exampleTB) Fatal(args ...any)         { log.Panic(args...) }
func (e *exampleTB) Fatalf(f string, a ...any) { log.Panicf(f, a...) }
func (e *exampleTB) Errorf(f string, a ...any) { log.Panicf(f, a...) }

func (e *exampleTB) TempDir() string {
	folder, err := os.MkdirTemp("", "client-example-")
	if err != nil {
		log.Panic(err)
	}
	e.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder
}
