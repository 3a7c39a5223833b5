package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fakeRouter is an OpenRouter without a network. It answers calls one after the
// other.
type fakeRouter struct {
	mu        sync.Mutex
	reactions []reaction // the last repeats
	calls     []string   // the key of each
	catalogue reaction   // to a question for a model; nil: refuse
	lookups   int        // of these
}

// A reaction is what it does with a call.
type reaction func(*http.Request) (*http.Response, error)

func (u *fakeRouter) set(reactions ...reaction) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reactions = reactions
}

func (u *fakeRouter) RoundTrip(r *http.Request) (*http.Response, error) {
	u.mu.Lock()
	if r.Method == http.MethodGet {
		react := u.catalogue
		u.lookups++
		u.mu.Unlock()
		if react == nil {
			react = refuse
		}
		return react(r)
	}
	next := u.reactions[0]
	if len(u.reactions) > 1 {
		u.reactions = u.reactions[1:]
	}
	u.calls = append(u.calls, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	u.mu.Unlock()
	return next(r)
}

func response(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

// stream sends events.
func stream(events ...string) reaction {
	return func(r *http.Request) (*http.Response, error) {
		return response(r, http.StatusOK, "data: "+strings.Join(events, "\n\ndata: ")+"\n\n"), nil
	}
}

// ok answers "hello".
func ok(r *http.Request) (*http.Response, error) {
	return stream(`{"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":"stop"}]}`, "[DONE]")(r)
}

// cut breaks off after "hel".
func cut(r *http.Request) (*http.Response, error) {
	return stream(`{"choices":[{"index":0,"delta":{"content":"hel"}}]}`)(r)
}

// thinks breaks off before the answer begins.
func thinks(r *http.Request) (*http.Response, error) {
	return stream(`{"choices":[{"index":0,"delta":{"reasoning":"hm"}}]}`)(r)
}

// refuse does not even connect.
func refuse(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }

// hang answers nothing until the call is ended.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// busy is a provider's 429 without a time.
func busy(r *http.Request) (*http.Response, error) {
	return with(http.StatusTooManyRequests, `"metadata":{"raw":"busy"}`, 0)(r)
}

// status answers with an error of that status.
func status(code int) reaction { return with(code, `"metadata":{}`, 0) }

// after answers with an error and a Retry-After.
func after(code, seconds int) reaction { return with(code, `"metadata":{}`, seconds) }

// with answers with an error that has further fields.
func with(code int, fields string, retryAfter int) reaction {
	return func(r *http.Request) (*http.Response, error) {
		re := response(r, code, fmt.Sprintf(`{"error":{"message":"no","code":%d,%s}}`, code, fields))
		if retryAfter > 0 {
			re.Header.Set("Retry-After", strconv.Itoa(retryAfter))
		}
		return re, nil
	}
}

// trickle answers with the first half after a while, with the second after
// another.
func trickle(first, second time.Duration) reaction {
	return func(r *http.Request) (*http.Response, error) {
		body, w := io.Pipe()
		go func() {
			_ = sleep(r.Context(), first)
			_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":"hel"}}]}`+"\n\n")
			_ = sleep(r.Context(), second)
			_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
			_ = w.Close()
		}()
		re := response(r, http.StatusOK, "")
		re.Body = body
		return re, nil
	}
}

// slow answers after a while, unless the call is ended.
func slow(wait time.Duration, then reaction) reaction {
	return func(r *http.Request) (*http.Response, error) {
		if err := sleep(r.Context(), wait); err != nil {
			return nil, err
		}
		return then(r)
	}
}
