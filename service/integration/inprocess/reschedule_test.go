package inprocess_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// quick is a configuration whose retries are due soon.
func quick(c *config.Config) {
	c.RetryDelays = []int{1}
	c.MaxRetries = 2
}

// A request that fails for now is rescheduled, keeps its trace and its metadata, is
// counted, and is answered in the end.
func TestIsRescheduled(t *testing.T) {
	t.Parallel()
	b := setup(t, quick)
	b.start()
	id := servicetest.NewID()
	const trace = "0af7651916cd43dd8448eb211c80319c"
	b.Publish(servicetest.Body(id, "soon [sim:503 times=3]", map[string]any{"metadata": map[string]any{"a": 1}}),
		nats.Header{"traceparent": {"00-" + trace + "-b7ad6b7169203331-01"}, "Nats-Msg-Id": {"m"}})
	got := b.Result(id)
	if got.Result.Status != events.StatusSuccess {
		t.Fatalf("result: %s", got.Body)
	}
	if got.Result.RetryCount != 1 || got.Result.Attempts != 1 {
		t.Errorf("retry_count %d, attempts %d: want 1 and 1 (three calls failed in the first delivery)", got.Result.RetryCount, got.Result.Attempts)
	}
	if string(got.Result.Metadata) != `{"a":1}` {
		t.Errorf("metadata: got %s", got.Result.Metadata)
	}
	if h := got.Header["traceparent"]; len(h) != 1 || !strings.Contains(h[0], trace) {
		t.Errorf("traceparent: got %v, want trace %s", h, trace)
	}
	b.Idle()
	if n := b.openrouter.Count(); n != 4 {
		t.Errorf("calls: got %d, want 4", n)
	}
}

// A request that keeps failing ends as failed, with a dead letter written
// before the result.
func TestGivesUpAfterItsRetries(t *testing.T) {
	t.Parallel()
	b := setup(t, quick)
	b.start()
	body := servicetest.Body(servicetest.NewID(), "never [sim:503]", nil)
	id := requestID(t, body)
	b.Publish(body, nats.Header{"Nats-Msg-Id": {"original"}, "X-Own": {"kept"}})
	got := b.Result(id)
	if got.Result.ErrorCode == nil || *got.Result.ErrorCode != events.UpstreamUnavailable || !*got.Result.Retryable {
		t.Fatalf("result: %s", got.Body)
	}
	if got.Result.RetryCount != 2 {
		t.Errorf("retry_count: got %d, want 2", got.Result.RetryCount)
	}
	deadLetter := b.Collect(b.Names.DeadlettersStream(), b.Names.Deadletter(events.UpstreamUnavailable, id), 1)[0]
	if string(deadLetter.Body) != string(body) {
		t.Errorf("dead letter: got %s, want the original %s", deadLetter.Body, body)
	}
	if deadLetter.Header.Get("X-Own") != "kept" {
		t.Errorf("dead letter's headers: %v", deadLetter.Header)
	}
	b.Idle()
	if n := b.openrouter.Count(); n != 9 {
		t.Errorf("calls: got %d, want 9: three in each of three deliveries", n)
	}
}

// A Retry-After that is too long for waiting in the process is the schedule's
// time.
func TestLongRetryAfterIsScheduled(t *testing.T) {
	t.Parallel()
	b := setup(t, quick, func(c *config.Config) { c.RetryWaitMax = time.Second })
	b.start()
	id := b.Ask("wait [sim:429 retry_after=4 times=1]", nil)
	if got := b.Result(id); got.Result.Status != events.StatusSuccess || got.Result.RetryCount != 1 {
		t.Fatalf("result: %s", got.Body)
	}
	calls := b.openrouter.Calls()
	if len(calls) != 2 {
		t.Fatalf("calls: got %d, want 2", len(calls))
	}
	if waited := calls[1].At.Sub(calls[0].At); waited < 4*time.Second {
		t.Errorf("the second call came %s after the first, before the 4 s that were asked for", waited)
	}
}

// A duplicate that arrives while the request is scheduled does not start it early.
func TestDuplicateOfAWaitingRequest(t *testing.T) {
	t.Parallel()
	b := setup(t, quick, func(c *config.Config) { c.RetryDelays = []int{3} })
	b.start()
	body := servicetest.Body(servicetest.NewID(), "wait [sim:503 times=3]", nil)
	b.Publish(body, nil)
	b.Until("the schedule is stored", func() (string, bool) { return "", b.stream(b.Names.RetriesStream()).Msgs == 1 })
	b.Until("the original is settled", func() (string, bool) { return "", b.stream(b.Names.RequestsStream()).Msgs == 0 })
	b.Publish(body, nil)
	b.Until("the duplicate is settled", func() (string, bool) { return "", b.stream(b.Names.RequestsStream()).Msgs == 0 })
	if n := b.openrouter.Count(); n != 3 {
		t.Errorf("calls while it waits: got %d, want 3", n)
	}
	if got := b.Result(requestID(t, body)); got.Result.Status != events.StatusSuccess {
		t.Errorf("result: %s", got.Body)
	}
	b.Idle()
	if n := b.openrouter.Count(); n != 4 {
		t.Errorf("calls: got %d, want 4", n)
	}
}

// What cannot heal fails at once.
func TestFailsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	for marker, code := range map[string]events.Code{
		"400": events.InvalidRequest, "context_length": events.ContextLengthExceeded, "403_moderation": events.ContentFiltered,
		"model_deprecated": events.ModelUnavailable, "content_filter": events.ContentFiltered,
	} {
		got := b.Result(b.Ask("x [sim:"+marker+"]", nil))
		if got.Result.ErrorCode == nil || *got.Result.ErrorCode != code {
			t.Errorf("%s: want %s, got %s", marker, code, got.Body)
		}
		if got.Result.Attempts != 1 {
			t.Errorf("%s: attempts %d, want 1", marker, got.Result.Attempts)
		}
	}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	in := func(d time.Duration) map[string]any {
		return map[string]any{"deadline": time.Now().Add(d).UTC().Format(time.RFC3339Nano)}
	}
	check := func(name, id string, calls int) {
		t.Helper()
		got := b.Result(id)
		if got.Result.ErrorCode == nil || *got.Result.ErrorCode != events.DeadlineExceeded {
			t.Errorf("%s: %s", name, got.Body)
		}
		if n := b.openrouter.Count(); n != calls {
			t.Errorf("%s: %d calls so far, want %d", name, n, calls)
		}
	}
	check("passed before it was taken", b.Ask("late", in(-time.Second)), 0)
	check("passes during the call", b.Ask("slow [sim:hang]", in(5*time.Second)), 1)
	check("the wait reaches beyond it", b.Ask("wait [sim:429 retry_after=15]", in(12*time.Second)), 2)
}

func TestCancellation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	before := servicetest.NewID()
	b.cancel(before)
	b.start()
	b.Publish(servicetest.Body(before, "not wanted", nil), nil)
	check := func(id string, calls int) {
		t.Helper()
		got := b.Result(id)
		if got.Result.ErrorCode == nil || *got.Result.ErrorCode != events.Cancelled {
			t.Errorf("result: %s", got.Body)
		}
		if n := b.openrouter.Count(); n != calls {
			t.Errorf("calls: got %d, want %d", n, calls)
		}
	}
	check(before, 0)
	release := b.openrouter.Hold()
	defer release()
	during := b.Ask("not wanted any more", nil)
	if err := b.openrouter.Wait(b.Context(), func(s simulator.Stats) bool { return s.Started == 1 }); err != nil {
		t.Fatal(err)
	}
	b.cancel(during)
	check(during, 1)
	b.Idle()
	if n := b.stream(b.Names.DeadlettersStream()).Msgs; n != 0 {
		t.Errorf("dead letters of cancelled requests: %d", n)
	}
}

func (b *bench) cancel(id string) {
	b.t.Helper()
	if _, err := b.JS.Publish(b.Context(), b.Names.Cancel(id), nil); err != nil {
		b.t.Fatal(err)
	}
}

// A cancellation that looks like a status of the server is one like any other,
// before the start, and while the service runs.
func TestCancellationsThatLookLikeAStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	statuses := []string{"100", "404", "409", "503"}
	cancel := func(status string) string {
		t.Helper()
		id := servicetest.NewID()
		m := &nats.Msg{Subject: b.Names.Cancel(id), Header: nats.Header{"Status": {status}, "Description": {"Consumer Deleted"}}}
		if _, err := b.JS.PublishMsg(b.Context(), m); err != nil {
			t.Fatal(err)
		}
		return id
	}
	var ids []string
	for _, status := range statuses {
		ids = append(ids, cancel(status))
	}
	b.start()
	for _, status := range statuses {
		ids = append(ids, cancel(status))
	}
	for _, id := range ids {
		b.Publish(servicetest.Body(id, "not wanted", nil), nil)
		if got := b.Result(id); got.Result.ErrorCode == nil || *got.Result.ErrorCode != events.Cancelled {
			t.Errorf("result: %s", got.Body)
		}
	}
	b.Result(b.Ask("wanted", nil))
	b.Idle()
	if n := b.openrouter.Count(); n != 1 {
		t.Errorf("calls: got %d, want 1", n)
	}
}
