package upstream

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/service/config"
	"gemini-client/service/openrouter"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
	"gemini-client/telemetry"
)

// direct calls a simulator without a network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// listed is a catalogue before a simulator, and its log.
func listed(t *testing.T, h http.Handler, models ...string) (*catalogue, *servicetest.Buffer) {
	t.Helper()
	client, err := openrouter.New(openrouter.Config{Transport: direct{h}})
	if err != nil {
		t.Fatal(err)
	}
	log := &servicetest.Buffer{}
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{LogFormat: "json", LogLevel: "INFO", Output: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.Shutdown(context.Background()) })
	return newCatalogue(client, tel, models...), log
}

func testKey() string { return servicetest.Key }

// A model that is about to go is a warning a day and model, from thirty days before on,
// and after it too. The clock begins at 2000-01-01 00:00 UTC.
func TestExpiryIsSaidEveryDay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Config{Expirations: map[string]string{oldModel: "2000-02-02"}})
		k, log := listed(t, sim, oldModel, successor)
		ctx, cancel := context.WithCancel(t.Context())
		var following sync.WaitGroup
		following.Go(func() { k.follow(ctx, testKey) })
		for day := range 40 {
			_ = sleep(ctx, time.Hour)
			switch day {
			case 38:
				sim.SetExpiration(oldModel, "") // it stays after all
			case 20:
				sim.SetExpiration(successor, "2000-03-01") // more than thirty days
			}
			_ = sleep(ctx, 23*time.Hour)
		}
		cancel()
		following.Wait()
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		soon, past, other := 0, 0, 0
		for _, line := range lines {
			switch {
			case !strings.Contains(line, `"model":"`+oldModel+`"`):
				other++
			case strings.Contains(line, "OpenRouter will stop offering the model in "):
				soon++
			case strings.Contains(line, "the model is past its expiration date"):
				past++
			}
		}
		// 2000-02-02 13:00 is 32.5 days after the first look: looks 3 to 32 are within
		// thirty days, 33 to 38 after it. The successor is within thirty days of its
		// end from look 31 (2000-01-31 13:00) on.
		if soon != 30 || past != 6 || other != 40-31+1 {
			t.Errorf("lines: %d soon, %d past, %d of the successor, want 30, 6 and 10:\n%s", soon, past, other, log)
		}
		if !strings.Contains(lines[0], `in 30 days"`) || !strings.Contains(lines[0], `"on":"2000-02-02"`) || !strings.Contains(lines[0], "OPENROUTER_FALLBACK_MODELS") {
			t.Errorf("the first line: %s", lines[0])
		}
	})
}

// While OpenRouter does not answer, what was known stays known and is said; it is asked
// every hour.
func TestCatalogueIsAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Config{Expirations: map[string]string{oldModel: "2000-01-20"}})
		var mu sync.Mutex
		var away bool
		asked := 0
		k, log := listed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if asked++; away {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			sim.ServeHTTP(w, r)
		}), oldModel)
		set := func(to bool) { mu.Lock(); away = to; mu.Unlock() }
		ctx, cancel := context.WithCancel(t.Context())
		var following sync.WaitGroup
		set(true)
		following.Go(func() { k.follow(ctx, testKey) })
		_ = sleep(ctx, 150*time.Minute) // three looks in vain
		if list := k.expiries(); len(list) > 0 || log.String() != "" {
			t.Errorf("known: %v, said: %s", list, log)
		}
		set(false)
		_ = sleep(ctx, time.Hour)
		set(true)
		_ = sleep(ctx, 48*time.Hour)
		cancel()
		following.Wait()
		if list := k.expiries(); len(list) != 1 || list[0].Date != "2000-01-20" {
			t.Errorf("known: %v", list)
		}
		if n := strings.Count(log.String(), "will stop offering"); n != 3 {
			t.Errorf("said %d times, want once on each of three days:\n%s", n, log)
		}
		if mu.Lock(); asked != 4+25 {
			t.Errorf("asked %d times, want 29", asked)
		}
		mu.Unlock()
	})
}

// A date without an hour means 13:00 UTC.
func TestExpired(t *testing.T) {
	t.Parallel()
	sim := simulator.New(simulator.Config{Expirations: map[string]string{oldModel: "2026-12-01", successor: "2026-12-02T10:00:00+02:00", "google/gemini-3.1-flash-lite-preview": "soon"}})
	k, log := listed(t, sim, oldModel+":nitro", successor, "gemini-3.1-flash-lite-preview", "@preset/x", oldModel)
	if k.expired(oldModel, time.Now()) {
		t.Error("expired before anything is known")
	}
	if !k.read(t.Context(), testKey()) {
		t.Error("not all was found out")
	}
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, tt := range []struct {
		model, now string
		want       bool
	}{
		{oldModel, "2026-12-01T12:59:59Z", false},
		{oldModel, "2026-12-01T13:00:00Z", true},
		{oldModel + ":floor", "2026-12-01T13:00:00Z", true},
		{oldModel + ":free", "2026-12-01T13:00:00Z", false},
		{oldModel + "@preset/x", "2027-01-01T00:00:00Z", true},
		{successor, "2026-12-02T07:59:59Z", false},
		{successor, "2026-12-02T08:00:00Z", true},
		{"google/gemini-3.1-flash-lite-preview", "2027-01-01T00:00:00Z", false},
		{"google/unknown", "2027-01-01T00:00:00Z", false},
		{"", "2027-01-01T00:00:00Z", false},
	} {
		if got := k.expired(tt.model, at(tt.now)); got != tt.want {
			t.Errorf("%s at %s: got %v", tt.model, tt.now, got)
		}
	}
	if list := k.expiries(); len(list) != 2 || list[0].Model != oldModel || list[0].Text(at("2026-11-27T12:00:00Z")) != oldModel+" expires on 2026-12-01, in 5 days" {
		t.Errorf("expiries: %v", list)
	}
	if text := k.expiries()[0].Text(at("2026-12-01T13:00:00Z")); !strings.HasPrefix(text, oldModel+" has expired on 2026-12-01") {
		t.Error(text)
	}
	k.warn(t.Context(), at("2026-11-27T12:00:00Z"))
	if text := log.String(); !strings.Contains(text, `"on":"soon"`) || strings.Count(text, "\n") != 3 {
		t.Errorf("log: %s", text)
	}
}

// What config says of the models: it asks only with a key, and never longer than it may.
func TestOutlook(t *testing.T) {
	t.Parallel()
	router := servicetest.RunOpenRouter(t, simulator.Config{Expirations: map[string]string{oldModel: "2001-01-01", successor: "2999-12-31"}})
	c, _, err := config.Load("", "")
	if err != nil {
		t.Fatal(err)
	}
	c.Model, c.FallbackModels = "gemini-2.5-flash", config.List{successor, "google/other", "acme/none"}
	if lines := Outlook(t.Context(), c); len(lines) != 4 || !strings.Contains(lines[0], "no API key") {
		t.Errorf("without a key: %q", lines)
	}
	c.APIKeys, c.BaseURL = config.List{servicetest.Key}, router.URL
	lines := strings.Join(Outlook(t.Context(), c), "\n")
	for _, want := range []string{oldModel + " has expired on 2001-01-01", successor + " expires on 2999-12-31, in ", "google/other: no expiration date", "acme/none: OpenRouter does not know the model"} {
		if !strings.Contains(lines, want) {
			t.Errorf("got %s\nwant %s", lines, want)
		}
	}
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	c.BaseURL = silent.URL
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if lines := strings.Join(Outlook(ctx, c), "\n"); strings.Count(lines, "not known, OpenRouter could not be asked") != 4 {
		t.Errorf("nobody answers: %s", lines)
	}
}
