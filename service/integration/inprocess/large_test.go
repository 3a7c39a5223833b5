package inprocess_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// Prompts that together are more than nats-server holds for a client
// (max_pending) are taken in several pulls, and the worker is not cut off.
func TestManyLargePrompts(t *testing.T) {
	t.Parallel()
	const requests, size = 30, 2 << 20
	n := servicetest.RunNATS(t, func(o *server.Options) { o.MaxPayload, o.MaxPending = 8<<20, 40<<20 })
	b := setupOn(t, n, servicetest.RunOpenRouter(t, simulator.Config{}), func(c *config.Config) { c.Concurrency = requests })
	b.provision()
	prompt := strings.Repeat("large ", size/len("large "))
	for range requests {
		b.Ask(prompt, nil)
	}
	b.start()
	b.Collect(b.Names.ResponsesStream(), "gemini.responses.completed.*", requests)
	b.Idle()
	if calls := b.openrouter.Count(); calls != requests {
		t.Errorf("calls: got %d, want %d: the worker was cut off, and requests came again", calls, requests)
	}
	for _, sign := range []string{"lost the connection", "cannot be read", `"deliveries"`} {
		if strings.Contains(b.log.String(), sign) {
			t.Errorf("the log says %q", sign)
		}
	}
}
