package inprocess_test

import (
	"bufio"
	"net"
	"net/http"
	"testing"

	"gemini-client/events"
	"gemini-client/service/config"
)

// An https call to OpenRouter goes through HTTP_PROXY, which Go's own rules
// would use for http:// alone.
func TestCallsGoThroughTheProxy(t *testing.T) {
	t.Parallel()
	proxy, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := proxy.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				asked <- r.Method + " " + r.Host
			}
			_, _ = conn.Write([]byte("HTTP/1.1 503 no way\r\nContent-Length: 0\r\n\r\n"))
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = proxy.Close(); <-done })
	b := setup(t, func(c *config.Config) {
		c.BaseURL, c.HTTPProxy, c.MaxRetries = "https://openrouter.invalid/api/v1", "http://"+proxy.Addr().String(), 0
	})
	b.start()
	got := b.Result(b.Ask("through the proxy", nil))
	if got.Result.ErrorCode == nil || *got.Result.ErrorCode != events.UpstreamUnavailable {
		t.Errorf("result: %s", got.Body)
	}
	if first := <-asked; first != "CONNECT openrouter.invalid:443" {
		t.Errorf("the proxy was asked for %q", first)
	}
	if n := b.openrouter.Count(); n != 0 {
		t.Errorf("calls that went elsewhere: %d", n)
	}
}
