package upstream

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
)

// Past its expiration date any refusal that names the model means that it is gone; before
// it, and of another model, it is the request's own failure.
func TestRefusalsOfAnExpiredModel(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		expires time.Duration // from now
		says    reaction
		code    events.Code // without a fallback: gone or not
		retired int
	}{
		"a 400":             {-time.Hour, says(400, "x/a is no longer served", ""), "", 1},
		"a 404":             {-time.Hour, says(404, "x/a: not found", ""), "", 1},
		"a 403":             {-time.Hour, says(403, "x/a is closed", ""), "", 1},
		"before its date":   {time.Hour, says(400, "x/a is no longer served", ""), events.InvalidRequest, 0},
		"about the request": {-time.Hour, says(400, "temperature is too high", ""), events.InvalidRequest, 0},
		"a provider's":      {-time.Hour, says(400, "Provider returned error", `,"metadata":{"raw":"x/a says no"}`), events.InvalidRequest, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &modelRouter{}
				m.tell("x/a", tt.says)
				p, _ := newTestCaller(t, nil, m.react)
				p.listed.entries["x/a"] = &catalogueEntry{expires: time.Now().Add(tt.expires)}
				checkReply(t, p.askFor(t.Context(), "x/a", "x/a", "x/b"), tt.code)
				if list := p.retired.list(); len(list) != tt.retired {
					t.Errorf("retired: got %v, want %d", list, tt.retired)
				}
			})
		})
	}
}

// A key that OpenRouter refuses does not keep the catalogue unread for ever: the next look
// asks with another.
func TestCatalogueIsAskedWithEveryKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up := newTestCaller(t, func(c *config.Config) { c.APIKeys, c.Model = []string{"bad", "good"}, "x/a" })
		up.catalogue = func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") == "Bearer bad" {
				return with(http.StatusUnauthorized, "", 0)(r)
			}
			return response(r, http.StatusOK, `{"data":{"id":"x/a","expiration_date":"2000-03-01"}}`), nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { p.Run(ctx) })
		_ = sleep(ctx, catalogueRetry+time.Minute)
		if list := p.listed.expiries(); len(list) != 1 {
			t.Errorf("known after an hour: %v, want when it expires", list)
		}
		cancel()
		running.Wait()
	})
}
