package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collectorReady is what a collector says when it is ready.
type collectorReady struct {
	URL string `json:"url"`
}

// spans is what a collector reports.
type spans struct {
	Exports int `json:"exports"` // requests with spans
	Spans   int `json:"spans"`   // in them
}

// playCollector takes spans over OTLP/HTTP. It counts them when it is asked, after
// the measurement, and not while they come.
func playCollector(ctx context.Context, _ string, serve serveFunc) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c := &collector{}
	s := &http.Server{Handler: c, ReadHeaderTimeout: readyTime}
	go s.Serve(l)   //nolint:errcheck // it ends with the process
	defer s.Close() //nolint:errcheck // the process ends
	return serve(collectorReady{"http://" + l.Addr().String()}, c.report)
}

type collector struct {
	mu     sync.Mutex
	bodies [][]byte
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bodies = append(c.bodies, body)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *collector) report() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := spans{Exports: len(c.bodies)}
	for _, body := range c.bodies {
		var export coltracepb.ExportTraceServiceRequest
		if proto.Unmarshal(body, &export) != nil {
			continue
		}
		for _, resource := range export.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				r.Spans += len(scope.GetSpans())
			}
		}
	}
	return r
}
