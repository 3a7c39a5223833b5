package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/service/servicetest"
)

// browser reads pages as a browser without scripts does. It follows no redirect.
type browser struct {
	b    *bench
	url  string
	sent http.Header // with every request
}

// browse starts the pages and waits until they are served.
func (b *bench) browse(args ...string) *browser {
	b.t.Helper()
	out, _ := b.start(append([]string{"ui", "--listen", "127.0.0.1:0", "--interval", "1s"}, args...)...)
	return &browser{b: b, url: "http://" + await(b.t, out, "serving pages for a browser", "address"), sent: http.Header{}}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	text   string
}

// open sends a request; read gets its answer while that is open.
func (b *browser) open(method, path string, form url.Values, read func(*http.Response)) {
	b.b.t.Helper()
	request, err := http.NewRequestWithContext(b.b.Context(), method, b.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.b.t.Fatal(err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range b.sent {
		if request.Header[name] = values; name == "Host" {
			request.Host = values[0]
		}
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		b.b.t.Fatal(err)
	}
	defer response.Body.Close()
	read(response)
}

func (b *browser) ask(method, path string, form url.Values) (a answer) {
	b.b.t.Helper()
	b.open(method, path, form, func(r *http.Response) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			b.b.t.Fatal(err)
		}
		a = answer{r.StatusCode, r.Header, string(text)}
	})
	return a
}

// page returns a page that has to be answered with a status.
func (b *browser) page(status int, path string) string {
	b.b.t.Helper()
	return b.with(status, path, b.ask(http.MethodGet, path, nil))
}

// post sends a form.
func (b *browser) post(status int, path string, form url.Values) string {
	b.b.t.Helper()
	return b.with(status, path, b.ask(http.MethodPost, path, form))
}

func (b *browser) with(status int, path string, a answer) string {
	b.b.t.Helper()
	if a.status != status {
		b.b.t.Fatalf("%s: status %d, want %d:\n%s", path, a.status, status, a.text)
	}
	return a.text
}

// live reads what a page is sent while it is open, until that has a text.
func (b *browser) live(path, text string) {
	b.b.t.Helper()
	b.open(http.MethodGet, path, nil, func(r *http.Response) {
		events := bufio.NewScanner(r.Body)
		events.Buffer(nil, 1<<20)
		for events.Scan() {
			if strings.Contains(events.Text(), text) {
				return
			}
		}
		b.b.t.Fatalf("%s ended before it said %q: %v", path, text, events.Err())
	})
}

// A person looks at the overview, follows a request, finds the dead letter, and
// replays it.
func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work()
	w := b.browse("--trace-url", "http://jaeger.example/trace/{trace_id}")
	w.live("/live/overview", "gemini.requests")
	id := servicetest.NewID()
	b.Publish(servicetest.Body(id, heals, nil), nats.Header{"traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}})
	b.Result(id)
	b.Idle()
	w.live("/live/overview", `<a href="/deadletters?code=model_unavailable">`)
	contains(t, w.page(200, "/"), "Workers", "closed", "…", "usable", "Over time", "polyline")
	contains(t, w.page(200, "/failures?code=model_unavailable&since=1h"), id, "model_unavailable")
	contains(t, w.page(200, "/failures?code=internal"), "No failed result.")
	if to := w.ask(http.MethodGet, "/requests?id="+strings.ToUpper(id), nil); to.status != http.StatusSeeOther || to.header.Get("Location") != "/requests/"+id {
		t.Errorf("the search leads to %d %s", to.status, to.header.Get("Location"))
	}
	contains(t, w.page(200, "/requests/"+id), "dead letter", "model_unavailable", "http://jaeger.example/trace/0af7651916cd43dd8448eb211c80319c", "default")
	list := w.page(200, "/deadletters?code=model_unavailable")
	sequence := regexp.MustCompile(`name="sequence" value="(\d+)"`).FindStringSubmatch(list)
	if sequence == nil {
		t.Fatalf("nothing to choose:\n%s", list)
	}
	shown := w.page(200, "/deadletters/"+sequence[1])
	contains(t, shown, id, "Show it")
	contains(t, w.page(200, "/deadletters/"+sequence[1]+"?body=show"), "mango")
	contains(t, w.page(200, "/replay?sequence="+sequence[1]), "costs money", `name="confirmed"`)
	contains(t, w.post(400, "/replay", url.Values{"sequence": {sequence[1]}}), "not confirmed")
	contains(t, w.post(200, "/replay", url.Values{"sequence": {sequence[1]}, "confirmed": {"yes"}}), "replayed: follows the failed result")
	w.live("/live/requests/"+id, "Completed")
	b.settled(id, 2, "failed", "completed")
	contains(t, w.post(200, "/replay", url.Values{"sequence": {sequence[1]}, "confirmed": {"yes"}}), "skipped: it is gone")
	for _, path := range []string{"/", "/requests/" + id, "/deadletters", "/failures"} {
		page := w.page(200, path)
		if strings.Contains(page, "mango") || strings.Contains(shown, "mango") {
			t.Errorf("%s shows a prompt or an answer", path)
		}
		if strings.Contains(page, "%!") {
			t.Errorf("%s has a number that is none:\n%s", path, page)
		}
	}
	contains(t, w.page(200, "/spend?since=1h"), "for 2 requests", "of which 1 failed", "google/gemini-2.5-flash", "By Tenant", "By API key")
}

// What a page must not do, whoever asks.
func TestPagesAreGuarded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const hostile = `"><script>alert(1)</script>`
	sequence := b.put("gemini.deadletters.internal."+servicetest.NewID(), nats.Header{"Gemini-Reason": {hostile}, "X": {hostile}}, []byte(hostile))
	w := b.browse("--host", "Gemini.example.com")
	for _, path := range []string{"/", "/nowhere", "/static/live.js", "/deadletters/x"} {
		h := w.ask(http.MethodGet, path, nil).header
		if p := h.Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", path, h)
		}
	}
	for _, path := range []string{"/deadletters", fmt.Sprint("/deadletters/", sequence, "?body=show"), "/requests?id=" + url.QueryEscape(hostile)} {
		text := w.ask(http.MethodGet, path, nil).text
		if strings.Contains(text, "<script>alert") || !strings.Contains(text, "&lt;script&gt;") {
			t.Errorf("%s is open to scripts:\n%s", path, text)
		}
	}
	form := url.Values{"sequence": {fmt.Sprint(sequence)}, "confirmed": {"yes"}}
	for name, value := range map[string]string{"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"} {
		w.sent = http.Header{name: {value}}
		w.post(403, "/replay", form)
	}
	w.sent = http.Header{"Host": {"evil.example"}}
	w.page(421, "/")
	w.sent = http.Header{"Host": {"gemini.example.com:8090"}}
	w.page(200, "/deadletters")
	w.sent = nil
	for _, path := range []string{"/requests/" + servicetest.NewID() + "?tenant=a.b", "/requests/x", "/deadletters/999", "/deadletters/0", "/replayed"} {
		w.page(404, path)
	}
	for _, path := range []string{"/deadletters?code=none&tenant=a.b&id=1&since=x", "/spend?since=2h", "/replay", "/replay?sequence=-1", "/requests?id=1"} {
		w.page(400, path)
	}
}

// Read-only pages have no way to replay.
func TestPagesToLookAt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stop := b.work()
	b.failure(dies, nil)
	stop()
	w := b.browse("--read-only")
	for _, path := range []string{"/deadletters", "/deadletters/1"} {
		if page := w.page(200, path); strings.Contains(page, `action="/replay"`) && strings.Contains(page, "<button>Replay") {
			t.Errorf("%s offers a replay:\n%s", path, page)
		}
	}
	w.page(404, "/replay?sequence=1")
	if status := w.ask(http.MethodPost, "/replay", url.Values{"sequence": {"1"}, "confirmed": {"yes"}}).status; status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
		t.Errorf("a replay is answered with %d", status)
	}
	if b.count(b.Names.DeadlettersStream()) != 1 {
		t.Error("it was replayed")
	}
}

func TestPagesFlags(t *testing.T) {
	t.Parallel()
	b := setup(t)
	contains(t, b.command(2, "ui", "--listen", "0.0.0.0:0", "--host", "a:1", "--trace-url", "x", "--interval", "0s"),
		"--listen 0.0.0.0:0: other machines may reach it", "--allow-remote", `--host "a:1"`, `--trace-url "x"`, "--interval 0s")
	contains(t, b.command(2, "ui", "--listen", "here"), `--listen "here"`)
	out, stop := b.start("ui", "--listen", "127.0.0.1:0")
	taken := await(t, out, "serving pages for a browser", "address")
	contains(t, b.command(2, "ui", "--listen", taken), "--listen="+taken)
	if code := stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// The overview remembers what it has summed, while pages read with the same connection.
func TestPagesBesideTheOverview(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work() // whose answer the overview waits for when it has summed
	b.Result(b.Ask("sum this", nil))
	a, err := openAdminClient(t.Context(), &source{file: b.file}, streams{strings.NewReader(""), io.Discard, io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	s := newUISource(a)
	looked := make(chan error, 1)
	go func() {
		_, err := s.Overview(t.Context())
		looked <- err
	}()
	for {
		if _, err := s.scoped(t.Context(), ""); err != nil { // what each page of a request begins with
			t.Error(err)
		}
		select {
		case err := <-looked:
			if err != nil {
				t.Error(err)
			}
			return
		case <-time.After(time.Millisecond):
		}
	}
}
