package telemetry

import (
	"strings"
	"testing"
)

// One definition makes the instrument, its help text and its row in README.md.
func TestMetricsTable(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	useEverything(t, b)
	call(t.Context(), t, b.Telemetry, "http://127.0.0.1:0")
	text, table := b.scrape(t, "text/plain"), metricsTable()
	for _, d := range definitions() {
		for _, want := range []string{"# TYPE " + d.scraped() + " " + string(d.kind) + "\n", "# HELP " + d.scraped() + " " + d.meaning + "\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("scrape lacks %s", want)
			}
		}
		if !strings.Contains(table, "| `"+d.scraped()+"` | "+string(d.kind)+" |") || !strings.Contains(table, d.meaning) {
			t.Errorf("the table lacks %s", d.name)
		}
		if strings.Contains(d.meaning, "|") {
			t.Errorf("the meaning of %s breaks the table", d.name)
		}
	}
	if got := MetricName(MetricQueueOldest); got != "gemini_queue_oldest_age_seconds" {
		t.Errorf("MetricName = %q", got)
	}
	if got := MetricName("nothing"); got != "" {
		t.Errorf("MetricName of nothing = %q", got)
	}
}

func TestHTTPMetrics(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	call(t.Context(), t, b.Telemetry, "http://127.0.0.1:1/some/path?and=query")
	text := b.scrape(t, "text/plain")
	want := `http_client_request_duration_seconds_count{error_type="net.OpError",http_request_method="POST",network_protocol_name="http",network_protocol_version="1.1",server_address="127.0.0.1",server_port="1",url_scheme="http"} 1`
	if !strings.Contains(text, want) {
		t.Errorf("scrape lacks %s:\n%s", want, text)
	}
	if strings.Contains(text, "body_size") {
		t.Error("the sizes of bodies are recorded")
	}
}
