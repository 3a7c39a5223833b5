package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Paths of OpenRouter's API, below the base URL that the service is given.
const (
	apiPath  = "/api/v1"
	chatPath = apiPath + "/chat/completions"
)

// upstreamConfig is what an upstream is told.
type upstreamConfig struct {
	Answer answer `json:"answer"`
	Cert   string `json:"cert"` // files, for TLS
	Key    string `json:"key"`
}

// upstreamReady is what an upstream says when it is ready.
type upstreamReady struct {
	Address string `json:"address"`
}

// calls is what an upstream reports.
type calls struct {
	Calls int64 `json:"calls"` // chat completions asked for
	Open  int64 `json:"open"`  // connections now
	Now   int64 `json:"now"`   // calls under way
	Peak  int64 `json:"peak"`  // at most
}

// counts are the calls while they happen.
type counts struct{ calls, open, under, peak atomic.Int64 }

func (c *counts) begin() {
	c.calls.Add(1)
	for now := c.under.Add(1); ; {
		if peak := c.peak.Load(); now <= peak || c.peak.CompareAndSwap(peak, now) {
			return
		}
	}
}

func (c *counts) end() { c.under.Add(-1) }

func (c *counts) report() any {
	return calls{Calls: c.calls.Load(), Open: c.open.Load(), Now: c.under.Load(), Peak: c.peak.Load()}
}

// playUpstream answers every chat completion in the same way. HTTP/1.1 is served
// by a loop over the connection (raw.go), so that it takes little of the machine
// that is measured; HTTP/2 by net/http.
func playUpstream(ctx context.Context, args string, serve serveFunc) error {
	var c upstreamConfig
	if err := json.Unmarshal([]byte(args), &c); err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close() //nolint:errcheck // the process ends
	n, failed := &counts{}, make(chan error, 1)
	go func() { // ends with the process
		if c.Answer.TLS {
			failed <- serveHTTP2(l, c, n)
		} else {
			failed <- serveRaw(l, c.Answer, n)
		}
	}()
	return first(failed, func() error { return serve(upstreamReady{l.Addr().String()}, n.report) })
}

// serveHTTP2 serves TLS, with HTTP/2 for those who ask for it.
func serveHTTP2(l net.Listener, c upstreamConfig, n *counts) error {
	s := &http.Server{
		ReadHeaderTimeout: readyTime,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state { //nolint:exhaustive // the others open and close nothing
			case http.StateNew:
				n.open.Add(1)
			case http.StateClosed:
				n.open.Add(-1)
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || r.URL.Path != chatPath {
				http.NotFound(w, r)
				return
			}
			n.begin()
			defer n.end()
			_ = respond(w, r, c.Answer) // the caller went away
		}),
	}
	return s.ServeTLS(l, c.Cert, c.Key)
}

// respond answers one call of HTTP/2.
func respond(w http.ResponseWriter, r *http.Request, a answer) error {
	began := time.Now()
	flush := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	return a.write(func(text string) error {
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return flush.Flush()
	}, func(since time.Duration) error {
		return pause(r.Context(), time.Until(began.Add(since)))
	})
}

// pause waits for a time.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
