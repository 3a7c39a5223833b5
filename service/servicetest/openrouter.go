package servicetest

import (
	"net/http/httptest"
	"testing"

	"gemini-client/service/openrouter/simulator"
)

// Key is an API key that the simulator accepts.
const Key = "sk-or-test-0123456789abcdef"

// OpenRouter is a simulator behind HTTP.
type OpenRouter struct {
	*simulator.Simulator
	URL string // for OPENROUTER_BASE_URL
}

// RunOpenRouter starts a simulator that ends with the test.
func RunOpenRouter(tb testing.TB, c simulator.Config) *OpenRouter {
	tb.Helper()
	sim := simulator.New(c)
	server := httptest.NewServer(sim)
	tb.Cleanup(func() {
		sim.Close()
		server.CloseClientConnections()
		server.Close()
	})
	return &OpenRouter{Simulator: sim, URL: server.URL + "/api/v1"}
}
