package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A collector that never answers neither keeps the program from answering nor
// from ending: no limit of an export ends within the life of this test, so it
// ends only because the flush has one of its own.
func TestServeEndsBesideACollectorThatHangs(t *testing.T) {
	asked, release := make(chan struct{}, 100), make(chan struct{})
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	}))
	t.Cleanup(collector.Close)
	t.Cleanup(func() { close(release) })
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "3600000")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	p, _, stop := serving(t)
	t.Setenv("OTEL_SDK_DISABLED", "true") // from here on: of the program that asks
	if code, out, errs := p.invoke("", "ask", "before"); code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	<-asked // from now on an export is in flight
	if code, out, errs := p.invoke("", "ask", "and after"); code != 0 {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	if code := stop(); code != 0 {
		t.Errorf("serve: exit code %d", code)
	}
}
