package openrouter_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/service/openrouter"
)

// The limit of a whole call holds whatever it waits for, and an answer that is complete stands.
func TestWholeCallLimit(t *testing.T) {
	t.Parallel()
	content := data(delta(`"content":"a"`, ""))
	drip := step{wait: 20 * time.Second, data: content}
	slow := func(string) { <-time.After(time.Minute) }
	tests := map[string]struct {
		steps   []step
		onDelta func(string)
		kind    openrouter.Kind // empty for an answer
		after   time.Duration
	}{
		"no token":           {[]step{{hang: true}}, nil, openrouter.KindUnfinished, 50 * time.Second},
		"tokens that go on":  {[]step{drip, drip, drip}, nil, openrouter.KindUnfinished, 50 * time.Second},
		"in the last moment": {[]step{drip, drip, {wait: 10*time.Second - 1, data: data(delta("", "stop")) + data("[DONE]")}}, nil, "", 50 * time.Second},
		"usage that is late": {[]step{drip, drip, {wait: 5 * time.Second, data: data(delta("", "stop"))}, {hang: true}}, nil, "", 50 * time.Second},
		"a slow reader":      {[]step{{data: content}, {data: content}}, slow, openrouter.KindUnfinished, 2 * time.Minute},
		"another limit":      {[]step{{data: content}, {hang: true}}, nil, openrouter.KindGap, 30 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				client := newClient(t, openrouter.Config{Transport: reply{steps: append(tt.steps, step{hang: true})}.transport(t), Call: 50 * time.Second})
				_, err := client.Complete(t.Context(), testKey, new(hello()), tt.onDelta)
				e, failed := errors.AsType[*openrouter.Error](err)
				if after := time.Since(start); after != tt.after || failed != (tt.kind != "") || failed && (e.Kind != tt.kind || !e.Retryable) {
					t.Errorf("got %v after %v, want kind %q after %v", err, after, tt.kind, tt.after)
				}
			})
		})
	}
}
