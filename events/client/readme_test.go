package client_test

import (
	"os"
	"strings"
	"testing"
)

// Each line of Go in the READMEs is a line of an example, which is compiled and run.
func TestREADMEsShowTheExample(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	known := read("example_test.go") + "nc, err := nats.Connect(url)\nnc, err := nats.Connect(\"nats://127.0.0.1:4222\")\nnc := clienttest.Start(t)\n"
	streams := 100
	for _, name := range []string{"../../README.md", "../README.md"} {
		blocks := strings.Split(read(name), "```go\n")
		if len(blocks) < 2 {
			t.Errorf("%s shows no Go", name)
		}
		for _, block := range blocks[1:] {
			code, _, _ := strings.Cut(block, "```")
			if strings.Contains(code, "h.Deltas(") {
				streams = min(streams, strings.Count(code, "\n"))
			}
			for line := range strings.Lines(code) {
				if !strings.Contains(known, strings.TrimSpace(line)+"\n") && !strings.Contains(known, strings.TrimSpace(line)+" ") {
					t.Errorf("%s: no example has %q", name, line)
				}
			}
		}
	}
	if streams > 15 {
		t.Errorf("the shortest way to a streamed answer has %d lines, want 15 at most", streams)
	}
}
