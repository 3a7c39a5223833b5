package upstream

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
)

// Promise 7: what a provider says may quote the prompt.
func TestRetryLogQuotesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := newTestCaller(t, nil, with(502, `"message":"Provider returned error","metadata":{"raw":"bad prompt: why is the sky blue"}`, 0), hang, ok)
		var log bytes.Buffer
		p.tel.Logger = slog.New(slog.NewTextHandler(&log, nil))
		checkReply(t, p.ask(t.Context()), "")
		for _, want := range []string{"attempt=1", "attempt=2", "code=upstream_unavailable", `failing (502)`, "code=upstream_timeout", `within CALL_TIMEOUT`} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("log: want %s in it:\n%s", want, &log)
			}
		}
		if strings.Contains(log.String(), "sky") {
			t.Errorf("log quotes the prompt:\n%s", &log)
		}
	})
}
