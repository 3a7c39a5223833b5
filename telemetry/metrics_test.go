package telemetry

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/semconv/v1.41.0/genaiconv"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"
)

// useEverything makes every instrument have a value.
func useEverything(t *testing.T, b bundle) {
	t.Helper()
	ctx, process := b.StartProcess(t.Context(), sampleProcess())
	chatCtx, chat := b.StartChat(ctx, sampleChat())
	i := b.Instruments
	i.Charged(chatCtx, "acme", "google/gemini-2.5-flash", 0.25)
	i.Charged(chatCtx, "acme", "google/gemini-2.5-flash", -1) // counts nothing
	i.CallFinished(chatCtx, "acme", "rate_limited", "google/gemini-2.5-flash")
	i.KeyCalled(chatCtx, "1a2b", "rate_limited")
	i.TokensUsed(chatCtx, "acme", 11, 7)
	i.TokensUsed(chatCtx, "acme", 0, -1) // counts nothing
	i.CacheLookedUp(chatCtx, true)
	i.Substituted(chatCtx, "google/gemini-2.5-flash", "google/gemini-3.5-flash-lite-20260721")
	i.CallRetried(chatCtx, 1, "rate_limited", time.Second)
	chat.End(sampleResult())
	chat.End(sampleResult()) // counts nothing
	_, publish := b.StartPublish(ctx, "gemini.responses.completed.{request_id}", "1")
	publish.End("", nil)
	_, settle := b.StartSettle(ctx, "ack", "gemini.requests")
	settle.End("", nil)
	i.RequestSettled(ctx, "acme", outcome("failed"), "rate_limited", "google/gemini-2.5-flash")
	i.RequestSettled(ctx, "acme", outcome("duplicate"), "", "")
	i.RequestScheduled(ctx, "rate_limited")
	i.InFlight(ctx, 3)
	i.InFlight(ctx, -1)
	i.SetSlots(ctx, 100)
	i.ObserveMemory(func() (inHand, budget int64) { return 7, 1 << 20 })
	i.ObserveBudgets(func() []BudgetNumbers {
		return []BudgetNumbers{{Tenant: "acme", Period: "day", Limit: 5, Spent: 4, Reserved: 0.5}}
	})
	i.ObserveBreaker(func() BreakerState { return BreakerOpen })
	i.ObserveModels(func() map[string]BreakerState {
		all := map[string]BreakerState{"google/gemini-2.5-flash": BreakerHalfOpen}
		for n := range 2 * maxModels { // more than get a label of their own
			all[fmt.Sprint("google/model-", n)] = BreakerState(n % 3)
		}
		return all
	})
	i.ClaimLost(ctx)
	i.ResultRefused(ctx)
	i.ObserveExpiries(func() map[string]time.Time {
		return map[string]time.Time{"google/gemini-2.5-flash": time.Now().Add(time.Hour)}
	})
	i.ObserveKeys(func() map[string]int64 { return map[string]int64{"usable": 2, "cooling": 0} })
	i.ObserveKeyCredit(func() (float64, bool) { return 4.25, true })
	i.DeclareDeadLetters(ctx, "rate_limited", "internal")
	i.DeadLettered(ctx, "rate_limited")
	i.ObserveQueues(func() QueueNumbers {
		return QueueNumbers{
			Messages: []QueueMessages{{"gemini.requests", "waiting", 7}, {"gemini.retries", "later", 0}},
			Oldest:   []QueueAge{{"gemini.requests", 1500 * time.Millisecond}},
			Sizes:    []QueueSize{{"gemini.responses", 300, 0}, {"gemini.deadletters", 100, 200}},
		}
	})
	process.End("", nil)
	process.End("", nil) // counts nothing
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{Version: "1.2.3"})
	useEverything(t, b)
	text := b.scrape(t, openMetrics)
	server := `server_address="openrouter.ai",server_port="443"`
	chat := `gen_ai_operation_name="chat",gen_ai_provider_name="openrouter",gen_ai_request_model="google/gemini-2.5-flash",gen_ai_response_model="google/gemini-2.5-flash-001",`
	nats := func(group, operation, kind string) string {
		return fmt.Sprintf(`{%smessaging_operation_name="%s",%smessaging_system="nats"}`, group, operation, kind)
	}
	group := `messaging_consumer_group_name="gemini-client",messaging_destination_name="gemini.requests",`
	published := nats(`messaging_destination_template="gemini.responses.completed.{request_id}",`, "publish", `messaging_operation_type="send",`)
	for _, want := range []string{
		`gen_ai_client_operation_duration_seconds_count{` + chat + server + `} 1`,
		`gen_ai_client_operation_time_to_first_chunk_seconds_sum{` + chat + server + `} 0.5`,
		`gen_ai_client_token_usage_sum{` + chat + `gen_ai_token_type="input",` + server + `} 10.0`,
		`gen_ai_client_token_usage_sum{` + chat + `gen_ai_token_type="output",` + server + `} 20.0`,
		`messaging_process_duration_seconds_count` + nats(group, "process", "") + ` 1`,
		`gemini_queue_wait_seconds_sum` + nats(group, "process", "") + ` 1.5`,
		`messaging_client_consumed_messages_total` + nats(group, "process", "") + ` 1.0`,
		`messaging_client_sent_messages_total` + published + ` 1.0`,
		`messaging_client_operation_duration_seconds_count` + published + ` 1`,
		`messaging_client_operation_duration_seconds_count` + nats(`messaging_destination_name="gemini.requests",`, "ack", `messaging_operation_type="settle",`) + ` 1`,
		`gemini_requests_total{code="rate_limited",gen_ai_request_model="google/gemini-2.5-flash",tenant="acme",verdict="failed"} 1.0`,
		`gemini_requests_total{tenant="acme",verdict="duplicate"} 1.0`,
		`gemini_cost_total{gen_ai_request_model="google/gemini-2.5-flash",tenant="acme"} 0.25`,
		`gemini_tokens_total{tenant="acme",type="input"} 11.0`,
		`gemini_tokens_total{tenant="acme",type="output"} 7.0`,
		`gemini_calls_total{gen_ai_request_model="google/gemini-2.5-flash",outcome="rate_limited",tenant="acme"} 1.0`,
		`gemini_keys_calls_total{key="…1a2b",outcome="rate_limited"} 1.0`,
		`gemini_cache_lookups_total{outcome="hit"} 1.0`,
		`gemini_cache_lookups_total{outcome="miss"} 0.0`,
		`gemini_inflight 2.0`,
		`gemini_slots 100.0`,
		`gemini_memory_in_hand_bytes 7.0`,
		`gemini_budget_limit{period="day",tenant="acme"} 5.0`,
		`gemini_budget_spent{period="day",tenant="acme"} 4.0`,
		`gemini_budget_reserved{period="day",tenant="acme"} 0.5`,
		`gemini_memory_budget_bytes 1.048576e+06`,
		`gemini_retries_total{reason="rate_limited"} 1.0`,
		`gemini_substituted_total{requested="google/gemini-2.5-flash",served="google/gemini-3.5-flash-lite-20260721"} 1.0`,
		`gemini_scheduled_total{reason="rate_limited"} 1.0`,
		`gemini_claims_lost_total 1.0`,
		`gemini_results_refused_total 1.0`,
		`gemini_breaker_state 2.0`,
		`gemini_model_breaker_state{gen_ai_request_model="google/gemini-2.5-flash"} 1.0`,
		`gemini_model_breaker_state{gen_ai_request_model="other"} 2.0`,
		`gemini_model_expiry_seconds{gen_ai_request_model="google/gemini-2.5-flash"} 35`,
		`gemini_keys{state="usable"} 2.0`,
		`gemini_keys{state="cooling"} 0.0`,
		`gemini_deadletters_total{code="rate_limited"} 1.0`,
		`gemini_deadletters_total{code="internal"} 0.0`,
		`gemini_deadletters_evicted_total 0.0`,
		`gemini_queue_size_bytes{queue="gemini.responses"} 300.0`,
		`gemini_queue_limit_bytes{queue="gemini.deadletters"} 200.0`,
		`gemini_queue_messages{queue="gemini.requests",state="waiting"} 7.0`,
		`gemini_queue_messages{queue="gemini.retries",state="later"} 0.0`,
		`gemini_queue_oldest_age_seconds{queue="gemini.requests"} 1.5`,
		`gemini_spans_lost_total{reason="queue_full"} 0.0`,
		`gemini_spans_lost_total{reason="export_failed"} 0.0`,
		`go_goroutine_count `,
		`process_resident_memory_bytes `,
		`service_version="1.2.3"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("scrape lacks %s", want)
		}
	}
	if strings.Contains(text, "otel_scope_name") {
		t.Error("series carry the instrumentation scope")
	}
	if t.Failed() {
		t.Log(text)
	}
}

// A dashboard must not say "no data" of what has not happened yet.
func TestMetricsBeginWithZero(t *testing.T) {
	t.Parallel()
	text := setup(t, Config{}).scrape(t, "text/plain")
	for _, want := range []string{
		"gemini_inflight 0", "gemini_claims_lost_total 0", "gemini_results_refused_total 0",
		`gemini_spans_lost_total{reason="queue_full"} 0`, `gemini_spans_lost_total{reason="export_failed"} 0`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("the first scrape lacks %s", want)
		}
	}
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	useEverything(t, b)
	call(t.Context(), t, b.Telemetry, "http://127.0.0.1:0")
	text := b.scrape(t, "text/plain")
	tests := []struct{ metric, first, last string }{
		{"gen_ai_client_operation_duration_seconds", "0.01", "81.92"},
		{"gen_ai_client_operation_time_to_first_chunk_seconds", "0.01", "81.92"},
		{"gen_ai_client_token_usage", "1", "6.7108864e+07"},
		{"messaging_process_duration_seconds", "0.01", "655.36"},
		{"messaging_client_operation_duration_seconds", "0.005", "10"},
		{"http_client_request_duration_seconds", "0.01", "655.36"},
	}
	for _, test := range tests {
		var bounds []string
		for _, match := range regexp.MustCompile(test.metric+`_bucket\{.*le="([^"]+)"`).FindAllStringSubmatch(text, -1) {
			if !slices.Contains(bounds, match[1]) {
				bounds = append(bounds, match[1])
			}
		}
		if len(bounds) < 3 || bounds[0] != test.first || bounds[len(bounds)-2] != test.last {
			t.Errorf("bounds of %s are %v, want %s to %s and +Inf", test.metric, bounds, test.first, test.last)
		}
	}
}

func TestExemplarsLeadToTheSpan(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	useEverything(t, b)
	call(t.Context(), t, b.Telemetry, "http://127.0.0.1:1")
	text := b.scrape(t, openMetrics)
	for metric, name := range map[string]string{
		"gen_ai_client_operation_duration_seconds_bucket": "chat google/gemini-2.5-flash",
		"gen_ai_client_token_usage_bucket":                "chat google/gemini-2.5-flash",
		"messaging_process_duration_seconds_bucket":       "process gemini.requests",
		"messaging_client_sent_messages_total":            "publish gemini.responses.completed.{request_id}",
		"gemini_requests_total":                           "process gemini.requests",
		"http_client_request_duration_seconds_bucket":     "POST",
	} {
		span := b.span(t, name).SpanContext
		exemplar := regexp.MustCompile(metric + `\{.*# \{.*span_id="` + span.SpanID().String() + `"`)
		if !exemplar.MatchString(text) {
			t.Errorf("%s has no exemplar of span %q", metric, name)
		}
	}
	if strings.Contains(b.scrape(t, "text/plain"), "# {") {
		t.Error("exemplars in the plain format, which has none")
	}
}

func TestFailuresAreLabelled(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	_, chat := b.StartChat(t.Context(), ChatInfo{Model: "m"})
	chat.End(ChatResult{ErrorType: "timeout"})
	_, process := b.StartProcess(t.Context(), sampleProcess())
	process.End("internal", nil)
	text := b.scrape(t, openMetrics)
	for _, want := range []string{
		`gen_ai_client_operation_duration_seconds_count{error_type="timeout",`,
		`messaging_process_duration_seconds_count{error_type="internal",`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("scrape lacks %s", want)
		}
	}
	// What is not known is not zero.
	for _, unwanted := range []string{"gen_ai_client_token_usage", "gemini_cost", "time_to_first_chunk"} {
		if strings.Contains(text, unwanted) {
			t.Errorf("scrape has %s of a call that never had any", unwanted)
		}
	}
}

func TestNamesAreThoseOfTheConventions(t *testing.T) {
	t.Parallel()
	for ours, theirs := range map[string]string{
		metricChatDuration:    genaiconv.ClientOperationDuration{}.Name(),
		metricChatTokens:      genaiconv.ClientTokenUsage{}.Name(),
		metricChatFirstChunk:  genaiconv.ClientOperationTimeToFirstChunk{}.Name(),
		metricProcessDuration: messagingconv.ProcessDuration{}.Name(),
		metricClientDuration:  messagingconv.ClientOperationDuration{}.Name(),
		metricConsumed:        messagingconv.ClientConsumedMessages{}.Name(),
		metricSent:            messagingconv.ClientSentMessages{}.Name(),
		metricHTTPDuration:    httpconv.ClientRequestDuration{}.Name(),
	} {
		if ours != theirs {
			t.Errorf("metric %s is called %s", ours, theirs)
		}
	}
}

func TestNopTakesEverything(t *testing.T) {
	t.Parallel()
	b := bundle{Telemetry: nop()}
	useEverything(t, b)
	b.Logger.InfoContext(t.Context(), "x")
	if text := b.scrape(t, openMetrics); strings.TrimSpace(text) != "# EOF" {
		t.Errorf("metrics of nothing: %s", text)
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
