package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// roleWord is the first argument of a process that plays a part in the benchmark.
const roleWord = "role"

// A part is what such a process does: it calls serve when it is ready.
type part func(ctx context.Context, args string, serve serveFunc) error

// serveFunc says that a part is ready, and answers each line on its standard input
// with a report until the input ends, as it does with the process that started it.
type serveFunc func(ready any, report func() any) error

// play is the program in a role; args are its name and its configuration as JSON.
func play(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	parts := map[string]part{"nats": playNATS, "upstream": playUpstream, "floor": playFloor, "collector": playCollector}
	if len(args) != 2 || parts[args[0]] == nil {
		return fmt.Errorf("%s: want the name and the configuration of a part", roleWord)
	}
	return parts[args[0]](ctx, args[1], func(ready any, report func() any) error {
		lines := json.NewEncoder(out)
		if err := lines.Encode(ready); err != nil {
			return err
		}
		for asked := bufio.NewScanner(in); asked.Scan(); {
			if err := lines.Encode(report()); err != nil {
				return err
			}
		}
		return nil
	})
}

// first returns the first error of a part that serves and of what may fail beside it.
func first(failed <-chan error, serving func() error) error {
	served := make(chan error, 1)
	go func() { served <- serving() }() // ends with the process at the latest
	select {
	case err := <-failed:
		return err
	case err := <-served:
		return err
	}
}

// nothing is the report of a part that has none.
func nothing() any { return struct{}{} }

// startPart starts this very program in a role and decodes what it says when it is
// ready.
func startPart(ctx context.Context, dir, name string, config, ready any) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args, ok := config.(string)
	if !ok {
		encoded, err := json.Marshal(config)
		if err != nil {
			return nil, err
		}
		args = string(encoded)
	}
	return startChild(ctx, command{name: name, path: self, args: []string{roleWord, name, args}, log: filepath.Join(dir, name+".log"), ready: ready})
}
