package openrouter_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"gemini-client/service/openrouter"
)

// TestNoKeyInErrors has a server, and a network, that repeat the key wherever they can.
func TestNoKeyInErrors(t *testing.T) {
	t.Parallel()
	const oddKey = "another/kind+of=key"
	echo := func(k string) string {
		return fmt.Sprintf(`{"error":{"code":"%[1]s","message":"bad key %[1]s","error_type":"%[1]s","metadata":{"raw":"{\"message\":\"%[1]s\"}",
			"provider_name":"%[1]s","limit_source":"%[1]s","reason":"%[1]s","reasons":["%[1]s"]},"availability":{"code":"%[1]s"}},
			"id":"%[1]s","provider":"%[1]s","choices":[{"delta":{"content":"a"},"finish_reason":"error","native_finish_reason":"%[1]s"}]}`, k)
	}
	for _, k := range []string{testKey, oddKey} {
		line := strings.ReplaceAll(echo(k), "\n", "")
		header := map[string]string{"X-Generation-Id": k, "Location": "https://" + k}
		finish := `{"id":"` + k + `","provider":"` + k + `","choices":[{"delta":{},"finish_reason":"error","native_finish_reason":"` + k + `"}]}`
		replies := map[string]reply{
			"error body":  {status: 401, header: header, steps: text(echo(k)).steps},
			"plain text":  {status: 500, header: header, steps: text("no such key: " + strings.Repeat("x", 480) + k).steps},
			"part of it":  {status: 500, steps: text("keys like sk-or-v1-01234...cdef are unknown").steps},
			"redirect":    {status: 302, header: header},
			"200":         {header: header, steps: text(echo(k)).steps},
			"stream":      {header: header, steps: text(data(line)).steps},
			"anonymous":   {header: header, steps: text(data(`{"id":"` + k + `","provider":"` + k + `","error":{"code":500}}`)).steps},
			"finish":      {header: header, steps: text(data(finish)).steps},
			"read error":  {header: header, steps: []step{{err: errors.New("proxy said " + k)}}},
			"body breaks": {status: 500, header: header, steps: []step{{data: k}, {err: errors.New("proxy said " + k)}}},
		}
		for name, r := range replies {
			client := newClient(t, openrouter.Config{Transport: r.transport(t)})
			_, err := client.Complete(t.Context(), k, new(hello()), nil)
			checkNoSecret(t, name, err, k)
			_, err = client.Model(t.Context(), k, "a/b")
			if err != nil {
				checkNoSecret(t, name+" of Model", err, k)
			}
		}
		client := newClient(t, openrouter.Config{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("dial http://user:hunter2@proxy with " + k)
		})})
		_, err := client.Complete(t.Context(), k, new(hello()), nil)
		checkNoSecret(t, "connection", err, k)
	}
}

func checkNoSecret(t *testing.T, name string, err error, k string) {
	t.Helper()
	e := asError(t, err)
	all := fmt.Sprintf("%v %+v %#v", err, *e, *e)
	for cause := error(e); cause != nil; cause = errors.Unwrap(cause) {
		all += " " + cause.Error()
	}
	for _, secret := range []string{k, "sk-or-", "cdef", "hunter2"} {
		if strings.Contains(all, secret) {
			t.Errorf("%s: %q is in the error: %s", name, secret, all)
		}
	}
}
