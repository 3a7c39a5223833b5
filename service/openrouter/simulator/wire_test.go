package simulator_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gemini-client/service/openrouter/simulator"
)

// scenarios are the markers whose bytes on the wire are kept in testdata. Those that never end are tested by time.
func scenarios() []string {
	var all []string
	asked := []string{
		"429 retry_after=3", "503 retry_after=7", "529 retry_after=1", "401 text=credentials", "401 text=header",
		"402_afford tokens=12", "402_in_flight retry_after=9", "capacity_exhausted retry_after=2",
		"temporarily_unavailable retry_after=4", "status code=451", "status code=599 body=html retry_after=8",
		"status code=500 body=text", "status code=503 body=empty", "choice_error code=500", "empty finish=null",
		"content_filter native=PROHIBITED_CONTENT", "tools count=3", "tools order=interleaved",
		"huge bytes=100 chunk=40", "huge_line bytes=100", "cached tokens=2", "dated date=20250617", "200_error code=429",
		"first_event_error code=server_error", "mid_error code=500 after=0", "mid_error code=server_error after=1",
		"cut after=0 how=close", "cut after=1 how=eof", "reset after=0", "truncate after=1", "hang for=1ms",
		"403_workspace_budget interval=lifetime", "no_endpoints place=metadata retryable=true retry_after=3",
		"availability code=new status=403 retryable=true", "status code=404 type=image_not_found", "200_error choices=none",
		"first_event_error type=refusal", "mid_error choices=none after=1", "choice_error type=timeout", "drip gap=1ms", "redirect to=http://127.0.0.1:1/x code=302",
	}
	endless := []string{"hang", "hang_after_headers", "stall", "comments", "drip", "huge", "huge_line"}
	for _, fault := range simulator.Faults() {
		if strings.HasPrefix(fault.Name, "batch_") {
			continue // nothing of it is seen in a chat call
		}
		if !slices.Contains(endless, fault.Name) {
			all = append(all, fault.Name)
		}
		for _, text := range asked {
			if name, _, _ := strings.Cut(text, " "); name == fault.Name {
				all = append(all, text)
			}
		}
	}
	return all
}

// record asks over a bare connection and returns every byte that comes back, with what changes from call to call
// replaced, and how the connection ended.
func (b *bench) record(t *testing.T, prompt string, stream bool) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := chatBody(prompt, fields{"stream": stream, "max_tokens": 64, "tools": []any{
		map[string]any{"type": "function", "function": map[string]any{"name": "look_up"}},
	}})
	_, err = fmt.Fprintf(conn, "POST /api/v1/chat/completions HTTP/1.1\r\nHost: openrouter.ai\r\nConnection: close\r\n"+
		"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", testKey, len(body), body)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(conn)
	end := "closed"
	if err != nil {
		end = err.Error()
	}
	if errors.Is(err, syscall.ECONNRESET) {
		end = "reset"
	}
	return readable(string(raw)) + "<" + end + ">\n"
}

// readable removes chunk lengths, keeping the last, and replaces what changes from call to call.
func readable(raw string) string {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	if strings.Contains(head, "Transfer-Encoding: chunked") {
		body = unchunk(body)
	}
	replaced := strings.ReplaceAll(head+"\n\n"+body, "\r\n", "\n")
	for pattern, by := range map[string]string{
		`gen-\d+-[A-Z2-7]{20}`:              "gen-ID",
		`(tool_[a-z_]+[0-9]*)_[A-Z2-7]{20}`: "${1}_ID",
		`"created":\d+`:                     `"created":0`,
		`Date: .*`:                          "Date: now",
		`(Reset"?: ?"?)\d{13}`:              "${1}MILLISECONDS",
	} {
		replaced = regexp.MustCompile(pattern).ReplaceAllString(replaced, by)
	}
	return replaced
}

// unchunk joins the chunks of a body; <end> stands for the one that ends it.
func unchunk(body string) string {
	var b strings.Builder
	r := bufio.NewReader(strings.NewReader(body))
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return b.String()
		}
		var size int
		if _, err := fmt.Sscanf(line, "%x", &size); err != nil {
			return b.String() + "<bad chunk " + line + ">"
		}
		if size == 0 {
			return b.String() + "<end>"
		}
		_, _ = io.CopyN(&b, r, int64(size))
		_, _ = r.Discard(2)
	}
}

func TestWire(t *testing.T) {
	t.Parallel()
	for name, stream := range map[string]bool{"stream": true, "body": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, simulator.Config{Answer: func(p simulator.Prompt) string {
				return "You asked " + p.Text + ", and it takes more than two pieces on the wire for an answer to arrive whole, so this " +
					"sentence is as long as it is."
			}})
			var got strings.Builder
			for _, marker := range append([]string{""}, scenarios()...) {
				prompt := "why? "
				if marker != "" {
					prompt += "[sim:" + marker + "]"
				}
				fmt.Fprintf(&got, "### %s\n%s\n", prompt, b.record(t, prompt, stream))
			}
			compare(t, filepath.Join("testdata", name+".golden"), got.String())
		})
	}
}

// compare reports a difference from a golden file, or writes it.
func compare(t *testing.T, path, got string) {
	t.Helper()
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("the bytes on the wire have changed (-want +got):\n%s", diff)
	}
}

// TestRefusals names what matters in the answers that testdata keeps byte by byte.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for marker, want := range map[string]struct {
		status     int
		retryAfter string
		inBody     string
	}{
		"400":                           {400, "", `"error_type":"invalid_request"`},
		"400_provider":                  {400, "", `"message":"Provider returned error","metadata":{"is_byok":false,"provider_name":"Google","raw":"{\"error\":{\"code\":400`},
		"context_length":                {400, "", `"error_type":"context_length_exceeded"`},
		"no_models":                     {400, "", `"message":"No models provided"`},
		"401":                           {401, "", `"message":"User not found."`},
		"401 text=credentials":          {401, "", `"message":"No auth credentials found"`},
		"401 text=header":               {401, "", `"message":"Missing Authentication header"`},
		"401_provider":                  {401, "", `"message":"Provider returned error"`},
		"402":                           {402, "", `"message":"Insufficient credits.`},
		"402_afford tokens=12":          {402, "", `requested up to 0 tokens, but can only afford 12.`},
		"402_in_flight":                 {402, "5", `"reason":"in_flight_budget_exhausted"`},
		"402_weight":                    {402, "", `"reason":"weight_exceeds_budget"`},
		"403_moderation":                {403, "", `"flagged_input":"why?"`},
		"403_guardrail":                 {403, "", `"patterns":["ignore all previous instructions"]`},
		"403_key_limit":                 {403, "", `Key limit exceeded (total limit)`},
		"402_in_flight_silent":          {402, "", `"reason":"in_flight_budget_exhausted"`},
		"403_workspace_budget":          {403, "", `{"error":{"code":403,"message":"Workspace monthly budget of $500.00 exceeded. Contact your workspace admin."},"user_id"`},
		"403_guardrail_budget":          {403, "", `"limit_source":"openrouter_guardrail_budget"`},
		"404_gone":                      {404, "", `{"error":{"code":404,"message":"No endpoints found for google/gemini-2.5-flash."},"user_id":"user_simulator"}`},
		"400_gone":                      {400, "", `{"error":{"code":400,"message":"google/gemini-2.5-flash is not a valid model ID"},"user_id"`},
		"404_batch":                     {404, "", `"message":"This model is only available through the Batch API.`},
		"404_guardrail":                 {404, "", `"message":"0 endpoints out of 3 requested are available matching your guardrail`},
		"404_data_policy":               {404, "", `"message":"No endpoints found matching your data policy.`},
		"400_models":                    {400, "", `"message":"'models' array must have 3 items or fewer."`},
		"availability status=410":       {410, "", `"availability":{"code":"model_paused","retryable":false,`},
		"no_endpoints place=metadata":   {404, "", `"metadata":{"availability":{"code":"no_endpoints","retryable":false,`},
		"no_endpoints retryable=true":   {404, "", `"availability":{"code":"no_endpoints","retryable":true,`},
		"404":                           {404, "", `No endpoints found that support tool use`},
		"model_not_found":               {400, "", `"availability":{"code":"model_not_found","retryable":false`},
		"wrong_endpoint":                {400, "", `"availability":{"code":"wrong_endpoint","retryable":false`},
		"region_restricted":             {403, "", `"availability":{"code":"region_restricted","retryable":false`},
		"no_endpoints":                  {404, "", `"availability":{"code":"no_endpoints","retryable":false`},
		"model_deprecated":              {404, "", `"fallback_models":["google/gemini-3.5-flash-lite"]`},
		"model_unavailable_upstream":    {404, "", `"availability":{"code":"model_unavailable_upstream"`},
		"privacy_restricted":            {404, "", `"excluded_by":["data_policy:zdr"]`},
		"constraint_filtered":           {404, "", `"constraint":{"detail":`},
		"free_variant_ended":            {404, "", `"availability":{"code":"free_variant_ended"`},
		"capacity_exhausted":            {429, "40", `"retryable":true,"retry_after":40`},
		"temporarily_unavailable":       {503, "", `"code":"temporarily_unavailable","retryable":true,"requested`},
		"408":                           {408, "", `"error_type":"timeout"`},
		"409":                           {409, "", `"code":409`},
		"412":                           {412, "", `"error_type":"precondition_failed"`},
		"413":                           {413, "", `"error_type":"payload_too_large"`},
		"422":                           {422, "", `"error_type":"unprocessable"`},
		"429":                           {429, "", `"error_type":"rate_limit_exceeded"`},
		"429 retry_after=3":             {429, "3", `"code":429`},
		"429_provider":                  {429, "", `"limit_source":"upstream_provider_shared_pool"`},
		"429_platform":                  {429, "", `"X-RateLimit-Remaining":"0"`},
		"free_tier_daily":               {429, "", `"limit_source":"openrouter_free_tier_daily"`},
		"500":                           {500, "", `"message":"Internal Server Error","metadata":{"error_type":"server"}`},
		"502":                           {502, "", `"error_type":"provider_unavailable"`},
		"503":                           {503, "", `"error_type":"provider_overloaded"`},
		"503 retry_after=7":             {503, "7", `"code":503`},
		"504":                           {504, "", `"error_type":"timeout"`},
		"529":                           {529, "", `"code":529`},
		"502_html":                      {502, "", `<!DOCTYPE html>`},
		"520":                           {520, "", `<title>openrouter.ai | 520`},
		"522":                           {522, "", `<title>openrouter.ai | 522`},
		"524":                           {524, "", `<title>openrouter.ai | 524`},
		"status code=418 body=text":     {418, "", "error code: 418"},
		"redirect to=http://h.example/": {307, "", ""},
	} {
		t.Run(marker, func(t *testing.T) {
			t.Parallel()
			b := start(t, simulator.Config{})
			got := b.chat(t, "why? [sim:"+marker+"]", fields{"stream": true})
			if got.status != want.status || got.header.Get("Retry-After") != want.retryAfter || !strings.Contains(got.body, want.inBody) {
				t.Errorf("got %d, Retry-After %q, %s\nwant %d, %q, %s",
					got.status, got.header.Get("Retry-After"), got.body, want.status, want.retryAfter, want.inBody)
			}
			if name, _, _ := strings.Cut(marker, " "); b.last(t).Fault != name || b.last(t).Outcome != name || b.Cost() != 0 {
				t.Errorf("call %+v, want fault and outcome %s and no cost", b.last(t), name)
			}
			if got.header.Get("X-Generation-Id") != "" {
				t.Error("a refusal names a generation")
			}
		})
	}
}

func TestModerationQuotesAHundredCharacters(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	got := b.chat(t, strings.Repeat("a", 200)+strings.Repeat("b", 200)+"[sim:403_moderation]", nil)
	if want := `"flagged_input":"` + strings.Repeat("a", 48) + "..." + strings.Repeat("b", 49) + `"`; !strings.Contains(got.body, want) {
		t.Errorf("got %s, want %s", got.body, want)
	}
}

func TestUsageWithoutChoice(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{UsageWithoutChoice: true})
	if got := b.chat(t, "why?", fields{"stream": true}).body; !strings.Contains(got, `"choices":[],"usage":{`) {
		t.Errorf("got %s, want usage beside no choice", got)
	}
}

func TestConnectionFaultsOverHTTP2(t *testing.T) {
	t.Parallel()
	sim := simulator.New(simulator.Config{})
	server := newHTTP2Server(t, sim)
	b := &bench{Simulator: sim, url: server.URL, client: server.Client()}
	for _, marker := range []string{"cut", "reset", "refuse", "cut how=close"} {
		if got := b.chat(t, "why? [sim:"+marker+"]", fields{"stream": true}); got.err == nil {
			t.Errorf("%s: a proper end after %q", marker, got.body)
		}
	}
	if got := b.chat(t, "why?", fields{"stream": true}); got.err != nil || got.status != http.StatusOK {
		t.Errorf("without a fault: %+v", got)
	}
}

// newHTTP2Server serves the simulator over TLS and HTTP/2.
func newHTTP2Server(t *testing.T, sim *simulator.Simulator) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(sim)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(func() {
		sim.Close()
		server.Client().CloseIdleConnections()
		server.Close()
	})
	return server
}
