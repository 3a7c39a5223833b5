package telemetry

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
)

func TestErrorsAreLoggedAtALowRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, output := newTestLogger(t, Config{})
		h := &errorHandler{log: log}
		fail := func(n int) {
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() { h.Handle(errors.New("collector is away\nand " + secretKey)) })
			}
			wg.Wait()
		}
		fail(100)
		time.Sleep(errorInterval - 1) //nolint:forbidigo // synctest's clock
		fail(10)
		time.Sleep(time.Nanosecond) //nolint:forbidigo // synctest's clock
		fail(1)
		time.Sleep(errorInterval) //nolint:forbidigo // synctest's clock
		fail(1)

		lines := strings.Split(strings.TrimSpace(output.String()), "\n")
		want := []string{"suppressed=0", "suppressed=109", "suppressed=0"}
		if len(lines) != len(want) {
			t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), output)
		}
		for n, line := range lines {
			if !strings.HasSuffix(line, `error="collector is away" `+want[n]) {
				t.Errorf("line %d is %q, want the error and %s", n, line, want[n])
			}
		}
	})
}

func TestSetupTakesOverTheErrorHandler(t *testing.T) {
	b := setup(t, Config{})
	otel.Handle(errors.New("collector is away"))
	if got := b.log.String(); !strings.Contains(got, "collector is away") {
		t.Errorf("log is %q, want the error", got)
	}
}

// By the OTLP specification a partial success that refused nothing is a
// warning, and nothing is lost.
func TestWarningsAreNoLosses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"OTLP partial success: use v2 (0 spans rejected)":              "accepted the telemetry with a warning",
		"OTLP partial success: use v2 (0 metric data points rejected)": "accepted the telemetry with a warning",
		"OTLP partial success: too many (10 spans rejected)":           "telemetry was lost",
		"traces export: connection refused":                            "telemetry was lost",
	} {
		log, output := newTestLogger(t, Config{})
		(&errorHandler{log: log}).Handle(errors.New(text))
		if !strings.Contains(output.String(), want) {
			t.Errorf("%s: got %s, want %q in it", text, output, want)
		}
	}
}
