package inprocess_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// No key and, unless an answer quotes it, no prompt in any log line at DEBUG,
// any span, any metric, any error text (promise 7), and no answer either. The prompts here are
// quoted by failing providers as well.
func TestNothingSecretLeaks(t *testing.T) {
	t.Parallel()
	b := setup(t, quick, func(c *config.Config) {
		c.MaxRetries = 0
		c.APIKeys = nil
		for end := 'a'; end < 'm'; end++ { // several of the failures make a key cool down
			c.APIKeys = append(c.APIKeys, servicetest.Key+string(end))
		}
	})
	r := b.start()
	const secret = "the launch code of the moon base is 0-0-0-0"
	markers := []string{
		"", "[sim:400]", "[sim:400_provider]", "[sim:401]", "[sim:402]", "[sim:403_moderation]", "[sim:403_guardrail]",
		"[sim:429 times=1 retry_after=1]", "[sim:503]", "[sim:200_error]", "[sim:mid_error]", "[sim:502_html]", "[sim:finish_error]",
	}
	failures, answer := 0, ""
	for _, marker := range markers {
		id := servicetest.NewID()
		b.Publish(servicetest.Body(id, secret+" "+marker, map[string]any{"system_instruction": "keep " + secret}), nats.Header{"X": {"y"}})
		got := b.Result(id)
		if got.Result.Error == nil {
			answer = *got.Result.Content
			continue
		}
		failures++
		if leak := quoted(*got.Result.Error, secret); leak != "" {
			t.Errorf("%s: the error text quotes the prompt (%q): %s", marker, leak, *got.Result.Error)
		}
		if strings.Contains(string(got.Body), servicetest.Key) {
			t.Errorf("%s: the result holds the key", marker)
		}
	}
	if failures < 8 || len(answer) < 24 {
		t.Errorf("only %d of the requests failed: the test checks nothing", failures)
	}
	b.Publish([]byte(`{"request_id":"x","prompt":"`+secret+`"}`), nil)
	b.Idle()
	metrics, _ := r.get("/metrics")
	verbose, _ := r.get("/readyz?verbose")
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	for name, text := range map[string]string{
		"log": b.log.String(), "spans": fmt.Sprintf("%+v", b.spans.GetSpans()), "metrics": metrics, "readyz": verbose,
	} {
		if len(text) < 50 {
			t.Errorf("%s: nothing to check", name)
		}
		if strings.Contains(text, servicetest.Key) {
			t.Errorf("%s: holds the key", name)
		}
		if leak := quoted(text, secret); leak != "" {
			t.Errorf("%s: quotes the prompt: %q", name, leak)
		}
		if leak := quoted(text, answer); leak != "" {
			t.Errorf("%s: quotes the answer: %q", name, leak)
		}
	}
}

// quoted returns a piece of the secret that a text holds.
func quoted(text, secret string) string {
	const piece = 24
	for i := 0; i+piece <= len(secret); i++ {
		if strings.Contains(text, secret[i:i+piece]) {
			return secret[i : i+piece]
		}
	}
	return ""
}
