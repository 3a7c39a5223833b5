//go:build integration

package inprocess_test

import (
	"os/exec"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// The example for Python does all that it promises, with a real service, where Python and
// nats-py are to be had.
func TestPythonExample(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err == nil {
		err = exec.CommandContext(t.Context(), python, "-c", "import nats").Run()
	}
	if err != nil {
		t.Skipf("not run: Python with nats-py is not to be had here (pip install nats-py): %v", err)
	}
	b := setup(t)
	b.start()
	const reader = "python"
	if _, err := b.JS.CreateConsumer(b.Context(), b.Names.ResponsesStream(), jetstream.ConsumerConfig{Durable: reader, AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	check := exec.CommandContext(b.Context(), python, "-B", "check.py", b.nats.URL, reader)
	check.Dir = "../../../events/examples/python"
	if out, err := check.CombinedOutput(); err != nil || string(out) != "everything works\n" {
		t.Errorf("check.py: %v\n%s", err, out)
	}
}
