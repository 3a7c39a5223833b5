package openrouter_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"gemini-client/service/openrouter"
)

func newServer(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func TestNew(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		config openrouter.Config
		want   []string // parts of the error; none for no error
	}{
		"nothing at all": {openrouter.Config{}, nil},
		"all at once":    {openrouter.Config{Referer: "a\nb", Title: "a\x00b", Gap: -1}, []string{"referer", "title", "limits"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, err := openrouter.New(tt.config)
			if (err == nil) != (len(tt.want) == 0) || (err == nil) != (client != nil) {
				t.Fatalf("got %v, %v; want an error with %q", client, err, tt.want)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	var header http.Header
	var path, body string
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		header, path, body = r.Header, r.Method+" "+r.URL.Path, string(sent)
		_, _ = io.WriteString(w, testdata(t, "text.sse"))
	})
	client := newClient(t, openrouter.Config{BaseURL: at(server.URL + "/api/v1/"), Referer: "https://example.org", Title: "Ünit"})
	if got := ask(t, client); got.err != nil || got.Usage == nil {
		t.Fatalf("got %+v, %v", got.Completion, got.err)
	}
	if path != "POST /api/v1/chat/completions" {
		t.Errorf("got %s", path)
	}
	want := map[string]string{
		"Authorization": "Bearer " + testKey, "Accept": "text/event-stream", "Content-Type": "application/json",
		"HTTP-Referer": "https://example.org", "X-OpenRouter-Title": "Ünit", "User-Agent": "gemini-client", "X-Title": "", "Accept-Encoding": "",
	}
	for name, value := range want {
		if got := header.Get(name); got != value {
			t.Errorf("header %s is %q, want %q", name, got, value)
		}
	}
	const wantBody = `{"max_tokens":100,"messages":[{"role":"user","content":"hello"}],"model":"google/gemini-2.5-flash","stream":true}`
	if body != wantBody {
		t.Errorf("got body\n%s, want\n%s", body, wantBody)
	}
}

func TestRequestMarshalJSON(t *testing.T) {
	t.Parallel()
	const encoded = `[{"role":"system","content":"a\"b"},{"role":"user","content":"ü"}]`
	messages := json.RawMessage(encoded)
	raw := func(s string) map[string]json.RawMessage { return map[string]json.RawMessage{"x": json.RawMessage(s)} }
	tests := map[string]struct {
		request openrouter.Request
		want    string // body, or a part of the error after "error: "
	}{
		"least": {openrouter.Request{Messages: messages}, `{"messages":` + encoded + `,"stream":true}`},
		"zeros are values": {
			openrouter.Request{Messages: messages, Temperature: new(0.0), TopP: new(0.0), TopK: new(0)},
			`{"messages":` + encoded + `,"stream":true,"temperature":0,"top_k":0,"top_p":0}`,
		},
		"most": {
			openrouter.Request{
				Model: "m", Models: []string{"m", "n"}, Messages: json.RawMessage(`[{"role":"user","content":[]}]`), MaxTokens: 7,
				Temperature: new(0.7), Stop: []string{"END"}, Extra: map[string]json.RawMessage{"reasoning": json.RawMessage(`{"max_tokens":5}`), "seed": nil},
			},
			`{"max_tokens":7,"messages":[{"role":"user","content":[]}],"model":"m","models":["m","n"],"reasoning":{"max_tokens":5},"seed":null,"stop":["END"],"stream":true,"temperature":0.7}`,
		},
		"models in extra":               {openrouter.Request{Messages: messages, Extra: map[string]json.RawMessage{"models": json.RawMessage(`["n"]`)}}, `{"messages":` + encoded + `,"models":["n"],"stream":true}`},
		"stream cannot be switched off": {openrouter.Request{Messages: messages, Extra: map[string]json.RawMessage{"stream": json.RawMessage(`false`)}}, `error: extra field "stream"`},
		"no messages":                   {openrouter.Request{Model: "m"}, "error: no messages"},
		"broken extra":                  {openrouter.Request{Messages: messages, Extra: raw("{")}, "error: "},
		"broken messages":               {openrouter.Request{Messages: json.RawMessage("[")}, "error: "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := json.Marshal(tt.request)
			part, wantError := strings.CutPrefix(tt.want, "error: ")
			if wantError != (err != nil) || wantError && !strings.Contains(err.Error(), part) {
				t.Fatalf("got %s, %v; want %s", got, err, tt.want)
			}
			if !wantError && string(got) != tt.want {
				t.Errorf("got\n%s, want\n%s", got, tt.want)
			}
		})
	}
}

// TestRefusedBeforeSending has a transport that must not be reached.
func TestRefusedBeforeSending(t *testing.T) {
	t.Parallel()
	never := roundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("the request was sent")
		return nil, io.EOF
	})
	tests := map[string]struct {
		base, key string
		request   openrouter.Request
	}{
		"no key":                  {"", "", hello()},
		"key with a line end":     {"", testKey + "\n", hello()},
		"key with a space":        {"", " " + testKey, hello()},
		"real key in clear text":  {"http://simulator:8080", testKey, hello()},
		"request without content": {"", testKey, openrouter.Request{}},
		"extra that quotes a key": {"", testKey, openrouter.Request{Messages: hello().Messages, Model: "m", Extra: map[string]json.RawMessage{"model": nil, testKey: json.RawMessage("{")}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, openrouter.Config{BaseURL: at(tt.base), Transport: never})
			_, err := client.Complete(t.Context(), tt.key, &tt.request, nil)
			if e := asError(t, err); e.Kind != openrouter.KindRequest || e.Retryable {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestSimulatorKeyInClearText(t *testing.T) {
	t.Parallel()
	client := newClient(t, openrouter.Config{BaseURL: at("http://simulator:8080"), Transport: text(testdata(t, "text.sse")).transport(t)})
	if _, err := client.Complete(t.Context(), "sk-or-simulator", new(hello()), nil); err != nil {
		t.Errorf("got %v", err)
	}
}

// TestRedirectsAreNotFollowed listens where a redirect leads to.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var visits atomic.Int32
	elsewhere := newServer(t, func(http.ResponseWriter, *http.Request) { visits.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := newServer(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL+"/steal", status) })
		client := newClient(t, openrouter.Config{BaseURL: at(server.URL)})
		e := ask(t, client).err
		host := strings.TrimPrefix(elsewhere.URL, "http://")
		if e == nil || e.Kind != openrouter.KindStatus || e.Status != status || e.Retryable || !strings.Contains(e.Message, host) {
			t.Errorf("status %d: got %+v, want an error that names %s", status, e, host)
		}
		if _, err := client.Model(t.Context(), testKey, "a/b"); asError(t, err).Status != status {
			t.Errorf("model: got %v", err)
		}
	}
	if visits.Load() > 0 {
		t.Errorf("%d redirects were followed", visits.Load())
	}
}

func TestConnectionFaults(t *testing.T) {
	t.Parallel()
	hangUp := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or what is left unread turns the end into a reset
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	})
	encrypted := httptest.NewUnstartedServer(http.NotFoundHandler())
	encrypted.Config.ErrorLog = discard()
	encrypted.StartTLS()
	t.Cleanup(encrypted.Close)
	bases := map[string]string{
		"reset before the headers": hangUp.URL, "nobody listens": nobody, "unknown authority": encrypted.URL,
		"TLS to a plain port": strings.Replace(hangUp.URL, "http:", "https:", 1),
	}
	for name, base := range bases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := ask(t, newClient(t, openrouter.Config{BaseURL: at(base)})).err
			if e == nil || e.Kind != openrouter.KindConnection || e.Status != 0 || !e.Retryable || e.Started || strings.Contains(e.Message, "chat/completions") {
				t.Errorf("got %+v", e)
			}
			if name == "reset before the headers" && e.Message != "the connection was closed without a response" {
				t.Errorf("got message %q", e.Message)
			}
			if name == "nobody listens" && !errors.Is(e, syscall.ECONNREFUSED) {
				t.Errorf("errors.Is does not know the cause of %v", e)
			}
		})
	}
}

// TestCutOnTheNetwork has a real connection break in the middle of a chunk of HTTP.
func TestCutOnTheNetwork(t *testing.T) {
	t.Parallel()
	server := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, data(delta(`"content":"Once"`, ""))+"data: {")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	got := ask(t, newClient(t, openrouter.Config{BaseURL: at(server.URL)}))
	if got.err == nil || got.err.Kind != openrouter.KindCut || !got.err.Started || len(got.pieces) != 1 {
		t.Errorf("got %+v, pieces %q", got.err, got.pieces)
	}
}

// TestConnectionIsUsedAgain counts connections over calls that end in different ways.
func TestConnectionIsUsedAgain(t *testing.T) {
	t.Parallel()
	bodies := []string{
		testdata(t, "text.sse"), testdata(t, "document_padded.json"), testdata(t, "error_429_platform.json"),
		testdata(t, "error_midstream.sse"), testdata(t, "finish_error.sse"), testdata(t, "text.sse"),
	}
	remotes := map[string]bool{}
	call := 0
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		remotes[r.RemoteAddr] = true
		if call == 2 {
			w.WriteHeader(http.StatusTooManyRequests)
		}
		_, _ = io.WriteString(w, bodies[call])
		call++
	})
	client := newClient(t, openrouter.Config{BaseURL: at(server.URL)})
	for range bodies {
		ask(t, client)
	}
	if len(remotes) != 1 {
		t.Errorf("%d calls took %d connections, want 1", len(bodies), len(remotes))
	}
}
