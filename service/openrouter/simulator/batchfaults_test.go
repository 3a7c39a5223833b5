package simulator_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gemini-client/service/openrouter/simulator"
)

func TestFaultsOfSubmitting(t *testing.T) {
	t.Parallel()
	const flash = "google/gemini-2.5-flash"
	for fault, want := range map[string]struct{ status, stored int }{
		"batch_refused times=1":                       {503, 0},
		"batch_refused code=429 retry_after=3":        {429, 0},
		"batch_lost times=1":                          {0, 1},
		"batch_lost how=close":                        {0, 1},
		"batch_lost code=502":                         {502, 1},
		"batch_refused on=get":                        {202, 1},
		"batch_refused model=google/gemini-2.5-pro":   {202, 1},
		"batch_refused key=elsewhere":                 {202, 1},
		"batch_refused model=google/gemini-2.5-flash": {503, 0},
	} {
		marked := start(t, simulator.Config{})
		got := marked.submit(t, batchBody(flash, "first", "why? [sim:"+fault+"]"))
		if got.status != want.status || marked.Stats().Batches != want.stored || (got.status == 0) != (got.err != nil) {
			t.Errorf("%s: got %d %s %v, stored %d", fault, got.status, got.body, got.err, marked.Stats().Batches)
		}
		if strings.Contains(fault, "retry_after") && got.header.Get("Retry-After") != "3" {
			t.Errorf("%s: got %v", fault, got.header)
		}
		again := marked.submit(t, batchBody(flash, "first", "why? [sim:"+fault+"]"))
		if passes := again.status == http.StatusAccepted; passes != (strings.Contains(fault, "times=1") || want.status == 202) {
			t.Errorf("%s, again: got %d", fault, again.status)
		}
		parsed, err := simulator.ParseFault(fault)
		if err != nil {
			t.Fatal(err)
		}
		served := start(t, simulator.Config{})
		served.SetFault(parsed)
		if got := served.submit(t, batchBody(flash, "first")); got.status != want.status || served.Stats().Batches != want.stored {
			t.Errorf("%s of the server: got %d %s, stored %d", fault, got.status, got.body, served.Stats().Batches)
		}
		if got := served.chat(t, "why?", nil); got.status != http.StatusOK {
			t.Errorf("%s: a chat call got %d", fault, got.status)
		}
	}
}

func TestFaultsOfReading(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	id := b.stored(t, "first", "why? [sim:batch_refused on=get times=1 code=500]", "[sim:batch_cut after=1 times=1]")
	if got := b.get(t, batchesPath+"/"+id, testKey); got.status != http.StatusInternalServerError {
		t.Errorf("got %d %s", got.status, got.body)
	}
	b.look(t, id)
	b.look(t, id)
	torn := b.get(t, batchesPath+"/"+id, testKey)
	if torn.err == nil || strings.Count(torn.body, `"custom_id"`) < 1 || strings.Contains(torn.body, `"error":null}]`) {
		t.Errorf("got %d %v %s", torn.status, torn.err, torn.body)
	}
	if got := b.look(t, id); len(got.Results) != 3 {
		t.Errorf("got %+v", got)
	}
	for on, call := range map[string]func() answer{
		"list":   func() answer { return b.get(t, batchesPath, testKey) },
		"delete": func() answer { return b.do(t.Context(), http.MethodDelete, batchesPath+"/"+id, testKey, "") },
	} {
		b.SetFault(simulator.Fault{Name: "batch_refused", Params: map[string]string{"on": on}, Times: 1})
		if got := call(); got.status != http.StatusServiceUnavailable {
			t.Errorf("%s: got %d", on, got.status)
		}
		if got := call(); got.status != http.StatusOK {
			t.Errorf("%s, again: got %d", on, got.status)
		}
	}
}

func TestFaultsOfChatAreNotThoseOfBatches(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	b.SetFault(simulator.Fault{Name: "503"})
	id := b.stored(t, "why?")
	for range 3 {
		b.look(t, id)
	}
	if got := b.look(t, id); got.Counts.Completed != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestAMarkerPassesWithTimes(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	const prompt = "why? [sim:batch_invalid times=1] [sim:500 times=1]"
	for _, want := range []string{"failed", "completed", "completed"} {
		id := b.stored(t, prompt)
		var batch shown
		for range 3 {
			batch = b.look(t, id)
		}
		if batch.Status != want {
			t.Errorf("got %+v, want %s", batch, want)
		}
	}
	if runs := b.BatchRuns(); len(runs) != 2 || runs[0].Status != 500 || runs[1].Status != 200 || b.BatchRunsFor(prompt) != 1 {
		t.Errorf("runs %+v", runs)
	}
}

func TestAHangingSubmissionEndsWithItsClient(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	b.client.Timeout = 50 * time.Millisecond
	if got := b.submit(t, batchBody("google/gemini-2.5-flash", "[sim:batch_hang]")); got.err == nil || b.Stats().Batches != 0 {
		t.Errorf("got %+v, stored %d", got, b.Stats().Batches)
	}
}
