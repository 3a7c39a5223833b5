package inprocess_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// family is a metric with the labels of all its series.
type family struct {
	kind   string
	labels map[string]bool
}

func (f family) String() string {
	return f.kind + " " + strings.Join(slices.Sorted(maps.Keys(f.labels)), ",")
}

// scraped reads families from Prometheus' text format and adds them to all.
func scraped(t *testing.T, all map[string]family, text string) {
	t.Helper()
	series := regexp.MustCompile(`^([a-z_]+)(?:\{(.*)\})? [^ ]+$`)
	label := regexp.MustCompile(`([a-z_]+)="(?:[^"\\]|\\.)*"`)
	var current string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			current = name
			if _, there := all[name]; !there {
				all[name] = family{kind, map[string]bool{}}
			}
			continue
		}
		match := series.FindStringSubmatch(line)
		if match == nil || !strings.HasPrefix(match[1], current) {
			if !strings.HasPrefix(line, "#") {
				t.Fatalf("not a line of a scrape: %s", line)
			}
			continue
		}
		for _, l := range label.FindAllStringSubmatch(match[2], -1) {
			if l[1] != "le" {
				all[current].labels[l[1]] = true
			}
		}
	}
}

// documented reads the families from the table in telemetry/README.md.
func documented(t *testing.T) map[string]family {
	t.Helper()
	readme, err := os.ReadFile("../../../telemetry/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "<!-- metrics -->\n")
	table, _, ok2 := strings.Cut(rest, "<!-- /metrics -->")
	if !ok || !ok2 {
		t.Fatal("telemetry/README.md has no table of metrics")
	}
	all := map[string]family{}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, " | ")
		if name := strings.Trim(cells[0], "| `"); strings.Contains(name, "_") {
			f := family{cells[1], map[string]bool{}}
			for label := range strings.SplitSeq(cells[3], ", ") {
				if label = strings.Trim(label, "` "); label != "" {
					f.labels[label] = true
				}
			}
			all[name] = f
		}
	}
	return all
}

// The documented table of metrics and what a scrape of a full life shows are the
// same, both ways, labels included.
func TestMetricsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	b := setup(t, quick, func(c *config.Config) {
		c.APIKeys = append(c.APIKeys, servicetest.Key+"2")
		c.ShutdownTimeout = time.Second
		c.FleetBudget = "1000/month"
	})
	much := 1000.0
	b.openrouter.SetKey(servicetest.Key+"2", simulator.KeySettings{Limit: &much})
	b.openrouter.SetExpiration("google/gemini-2.5-flash", "2099-01-01")
	r := b.start()
	seen := map[string]family{}
	b.zeroAtFirst(r)
	b.ordinaryLife()
	b.outage(r)
	b.overtaken()
	b.budgetsAreShown(r)
	text, _ := r.get("/metrics")
	scraped(t, seen, text)
	for _, want := range []string{
		"gemini_results_refused_total 1", "gemini_claims_lost_total 1", "gemini_inflight 0", "gemini_slots 100", "gemini_breaker_state 0",
		`gemini_deadletters_total{code="invalid_request"} 1`, `gemini_deadletters_total{code="model_unavailable"} 1`,
		`gemini_requests_total{code="cancelled",gen_ai_request_model="google/gemini-2.5-flash",tenant="default",verdict="failed"} 1`,
		`gemini_keys{state="usable"} 2`,
		`messaging_client_sent_messages_total{error_type="refused",messaging_destination_template="gemini.responses.completed.{request_id}",messaging_operation_name="publish",messaging_operation_type="send",messaging_system="nats"} 1`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("scrape lacks %s", want)
		}
	}
	text = b.unpublished(r)
	scraped(t, seen, text)
	maps.DeleteFunc(seen, func(name string, _ family) bool {
		return strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "promhttp_") || name == "target_info"
	})
	table := documented(t)
	for name, f := range seen {
		if want, there := table[name]; !there || want.String() != f.String() {
			t.Errorf("a scrape shows %s: %s; telemetry/README.md says: %s", name, f, want)
		}
	}
	for name, f := range table {
		if _, there := seen[name]; !there {
			t.Errorf("telemetry/README.md has %s (%s), and no scrape shows it", name, f)
		}
	}
	wantChatAttributes(t, b.spans.GetSpans())
}

// budgetsAreShown waits until the counters of money have been looked at.
func (b *bench) budgetsAreShown(r *replica) {
	b.t.Helper()
	b.Until("the budget is shown", func() (string, bool) {
		text, _ := r.get("/metrics")
		return text, strings.Contains(text, `gemini_budget_limit{period="month",tenant="$fleet"} 1000`) && strings.Contains(text, `gemini_budget_reserved{period="month",tenant="$fleet"} 0`) &&
			strings.Contains(text, `gemini_budget_spent{period="month",tenant="$fleet"} 0.0`)
	})
}

// zeroAtFirst checks the first scrape: what has not happened is there as 0.
func (b *bench) zeroAtFirst(r *replica) {
	b.t.Helper()
	want := []string{
		"gemini_inflight 0", "gemini_breaker_state 0", "gemini_claims_lost_total 0", "gemini_results_refused_total 0",
		`gemini_keys{state="usable"} 2`, `gemini_keys{state="rate_limited"} 0`, `gemini_keys{state="unauthorized"} 0`, `gemini_keys{state="insufficient_credits"} 0`,
		`gemini_deadletters_total{code="internal"} 0`, `gemini_deadletters_total{code="invalid_request"} 0`,
		`gemini_requests_total{code="content_filtered",gen_ai_request_model="google/gemini-2.5-flash",tenant="default",verdict="failed"} 0`,
		`gemini_retries_total{reason="upstream_timeout"} 0`, `gemini_scheduled_total{reason="insufficient_credits"} 0`,
		`gemini_spans_lost_total{reason="queue_full"} 0`, `gemini_spans_lost_total{reason="export_failed"} 0`,
		`gemini_queue_messages{queue="gemini.requests",state="waiting"} 0`, `gemini_queue_messages{queue="gemini.requests",state="in_flight"} 0`,
		`gemini_queue_messages{queue="gemini.retries",state="waiting"} 0`, `gemini_queue_messages{queue="gemini.retries",state="in_flight"} 0`,
		`gemini_queue_messages{queue="gemini.retries",state="scheduled"} 0`, `gemini_queue_messages{queue="gemini.deadletters",state="dead"} 0`,
		`gemini_queue_oldest_age_seconds{queue="gemini.requests"} 0`, `gemini_queue_oldest_age_seconds{queue="gemini.retries"} 0`,
	}
	b.Until("everything is there, as 0", func() (string, bool) { // the queues as soon as they have been read
		text, _ := r.get("/metrics")
		missing := slices.DeleteFunc(slices.Clone(want), func(line string) bool { return strings.Contains(text, "\n"+line+"\n") })
		return strings.Join(missing, ", "), len(missing) == 0
	})
}

// ordinaryLife has every ordinary end of a request.
func (b *bench) ordinaryLife() {
	b.t.Helper()
	cancelled := servicetest.NewID()
	b.cancel(cancelled)
	b.Publish(servicetest.Body(cancelled, "not wanted", nil), nil)
	body := servicetest.Body(servicetest.NewID(), "as JSON", map[string]any{"openrouter": map[string]any{
		"response_format": map[string]any{"type": "json_object"}, "seed": 7, "frequency_penalty": 0.5, "presence_penalty": -0.5,
	}})
	b.Publish(body, nil)
	b.Result(requestID(b.t, body))
	b.Publish(body, nats.Header{"Nats-Msg-Id": {"a duplicate"}})
	b.Publish([]byte("no id"), nil)
	for _, ask := range []string{
		"in the end [sim:503 times=3]", "again [sim:refuse times=1]", "wait [sim:429_platform times=1 reset=1s]", "gone [sim:404]",
	} {
		b.Result(b.Ask(ask, nil))
	}
	b.Result(b.Ask("another answers [sim:model_deprecated]", map[string]any{"openrouter": map[string]any{"models": []string{newModel}}}))
	b.Result(cancelled)
	b.Idle()
}

// outage opens the circuit breaker and closes it again.
func (b *bench) outage(r *replica) {
	b.t.Helper()
	fault, err := simulator.ParseFault("503")
	if err != nil {
		b.t.Fatal(err)
	}
	state := func(n int) {
		b.t.Helper()
		b.Until(fmt.Sprint("the breaker's state is ", n), func() (string, bool) {
			text, _ := r.get("/metrics")
			return text, strings.Contains(text, fmt.Sprint("\ngemini_breaker_state ", n, "\n"))
		})
	}
	b.openrouter.SetFault(fault)
	var ids []string
	for i := range 30 {
		ids = append(ids, b.Ask(fmt.Sprint("question ", i), nil))
	}
	state(2)
	b.openrouter.ClearFaults()
	for _, id := range ids {
		b.Result(id)
	}
	b.Idle()
	state(0)
}

// held asks and returns when the call is in flight, which release lets go on.
func (b *bench) held() (id string, release func()) {
	b.t.Helper()
	before := b.openrouter.Count()
	release = b.openrouter.Hold()
	b.t.Cleanup(release)
	id = b.Ask("held", nil)
	b.Until("the call is in flight", func() (string, bool) {
		n := b.openrouter.Count()
		return fmt.Sprint(n, " calls, ", before, " before"), n == before+1
	})
	return id, release
}

// overtaken takes a request over as another worker would, and answers it first.
func (b *bench) overtaken() {
	b.t.Helper()
	id, release := b.held()
	if _, err := b.JS.Publish(b.Context(), b.Names.Claim(b.Names.ResponseQueue, id), []byte("GEMINI_REQUESTS 1 another 1")); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.JS.Publish(b.Context(), events.Completed(b.Names.ResponseQueue, id), b.Results()[0].Body); err != nil {
		b.t.Fatal(err)
	}
	release()
	b.Idle()
}

// unpublished ends with a result that NATS does not take any more, and returns
// the last scrape.
func (b *bench) unpublished(r *replica) string {
	b.t.Helper()
	_, release := b.held()
	b.nats.Stop()
	release()
	if err := r.stop(); err == nil {
		b.t.Error("nothing was cut off")
	}
	text, _ := r.get("/metrics")
	b.nats.Start()
	return text
}

// wantChatAttributes: gen_ai attributes are on chat spans alone, where Jaeger
// looks for them.
func wantChatAttributes(t *testing.T, spans tracetest.SpanStubs) {
	t.Helper()
	chats, asJSON := 0, 0
	for _, s := range spans {
		attrs := attributes(s)
		if strings.HasPrefix(s.Name, "chat ") {
			chats++
			for _, key := range []string{"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "server.address", "server.port"} {
				if attrs[key] == "" {
					t.Errorf("span %s lacks %s", s.Name, key)
				}
			}
			if attrs["gen_ai.output.type"] == "json" && attrs["gen_ai.request.seed"] == "7" && attrs["gen_ai.request.frequency_penalty"] == "0.5" && attrs["gen_ai.request.presence_penalty"] == "-0.5" {
				asJSON++
			}
			continue
		}
		for key := range attrs {
			if strings.HasPrefix(key, "gen_ai.") {
				t.Errorf("span %s has %s", s.Name, key)
			}
		}
	}
	if chats < 30 || asJSON != 1 {
		t.Errorf("%d chats, %d with the further parameters: the test checks too little", chats, asJSON)
	}
}
