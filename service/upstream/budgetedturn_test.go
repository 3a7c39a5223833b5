package upstream_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/tenant"
	"gemini-client/service/upstream"
)

// adding is a counter that counts how often it was asked.
type adding struct{ n atomic.Int64 }

func (a *adding) Add(context.Context, string, int64, string) (int64, error) { return a.n.Add(1), nil }

// TestThePriceIsKnownBeforeTheTurn: the catalogue may take seconds, and a permit of a limit
// is good for one.
func TestThePriceIsKnownBeforeTheTurn(t *testing.T) {
	t.Parallel()
	var turns adding
	before := make(chan int64, 1)
	b := newBudgeted(t, 10, tenant.Hold, func(c *config.Config) {
		if err := c.ModelsMaxPerMinute.UnmarshalText([]byte("*/*=10000")); err != nil {
			t.Fatal(err)
		}
		behindCatalogue(t, c, func(http.ResponseWriter) bool { before <- turns.n.Load(); return false })
	})
	b.Share(upstream.Sharing{
		Counter: &turns, Offset: func(context.Context) (time.Duration, error) { return 0, nil }, Names: events.DefaultNames(), Tenants: tenant.NewRegistry(),
	})
	if reply := b.ask(t, request("Why?")); reply.Err != nil {
		t.Fatal(reply.Err)
	}
	if n := <-before; n != 0 || turns.n.Load() == 0 {
		t.Errorf("%d increments of limits before the price was known, %d in all", n, turns.n.Load())
	}
}

// behindCatalogue has looks into the catalogue answered, or not.
func behindCatalogue(t *testing.T, c *config.Config, answers func(http.ResponseWriter) bool) {
	t.Helper()
	target, err := url.Parse(c.BaseURL)
	if err != nil {
		t.Fatal(err)
	}
	target.Path = ""
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/model/") || !answers(w) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	c.BaseURL = server.URL + "/api/v1"
}
