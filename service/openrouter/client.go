package openrouter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Defaults of [Config].
const (
	defaultFirstToken     = 60 * time.Second
	defaultGap            = 30 * time.Second
	defaultMaxAnswerBytes = 16 << 20
	defaultMaxLineBytes   = 4 << 20
)

// Config says where to call and how long to wait. A zero field means its default.
type Config struct {
	BaseURL   *url.URL          // absolute, http or https, without user, query and fragment: the caller has checked it; nil is https://openrouter.ai/api/v1
	Referer   string            // sent as HTTP-Referer, which attributes the calls to an application; none
	Title     string            // sent as X-OpenRouter-Title; none
	Transport http.RoundTripper // may be instrumented or proxied; NewTransport("", "")

	FirstToken time.Duration // from the call's start to the first token; 60 s. Model must answer within it too
	Gap        time.Duration // from one token to the next; 30 s

	MaxAnswerBytes int // content, reasoning and tool calls together, or a whole answer that comes as one document; 16 MiB
	MaxLineBytes   int // one line, and one event, of the stream; 4 MiB
}

// Client calls OpenRouter. It is safe for concurrent use.
type Client struct {
	http       *http.Client
	base       string
	referer    string
	title      string
	firstToken time.Duration
	gap        time.Duration
	maxAnswer  int
	maxLine    int
	inClear    bool // the base URL is http:// to another host than loopback
}

// New returns a client, or an error that names every problem in the configuration. It opens no connection.
func New(c Config) (*Client, error) {
	var errs []error
	if !validHeader(c.Referer) {
		errs = append(errs, errors.New("referer: has characters that no header may carry"))
	}
	if !validHeader(c.Title) {
		errs = append(errs, errors.New("title: has characters that no header may carry"))
	}
	if c.FirstToken < 0 || c.Gap < 0 || c.MaxAnswerBytes < 0 || c.MaxLineBytes < 0 {
		errs = append(errs, errors.New("limits: must not be negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("openrouter configuration: %w", err)
	}
	transport, base := c.Transport, c.BaseURL
	if transport == nil {
		direct, err := NewTransport("", "")
		if err != nil {
			return nil, err
		}
		transport = direct
	}
	if base == nil {
		base = &url.URL{Scheme: "https", Host: "openrouter.ai", Path: "/api/v1"}
	}
	return &Client{
		http:       &http.Client{Transport: transport, CheckRedirect: stayHere},
		base:       strings.TrimRight(base.String(), "/"),
		referer:    c.Referer,
		title:      c.Title,
		firstToken: orDefault(c.FirstToken, defaultFirstToken),
		gap:        orDefault(c.Gap, defaultGap),
		maxAnswer:  orDefault(c.MaxAnswerBytes, defaultMaxAnswerBytes),
		maxLine:    orDefault(c.MaxLineBytes, defaultMaxLineBytes),
		inClear:    base.Scheme == "http" && !loopback(base.Hostname()),
	}, nil
}

// CloseIdleConnections closes the connections that no call is using, if the transport can.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// stayHere follows no redirect: the key must not be sent to a host that nobody configured.
func stayHere(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// send makes one HTTP request; the caller closes the response's body. A nil body makes it a GET.
func (c *Client) send(ctx context.Context, key, path string, b *body) (*http.Response, error) {
	method, accept := http.MethodGet, "application/json"
	if b != nil {
		method, accept = http.MethodPost, "text/event-stream"
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	if b != nil {
		req.Body, req.ContentLength = b.open(), b.size
		req.GetBody = func() (io.ReadCloser, error) { return b.open(), nil } // for a connection that was closed meanwhile
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "gemini-client")
	if b != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.referer != "" {
		req.Header.Set("HTTP-Referer", c.referer)
	}
	if c.title != "" {
		req.Header.Set("X-OpenRouter-Title", c.title)
	}
	return c.http.Do(req)
}

// checkKey returns why the key cannot be sent, or an empty string.
func (c *Client) checkKey(key string) string {
	switch {
	case key == "":
		return "no API key"
	case !validHeader(key) || strings.TrimSpace(key) != key:
		return "the API key has characters that no header may carry"
	case c.inClear && strings.HasPrefix(key, "sk-or-v1-"):
		return "a real API key is not sent over http:// to another host"
	}
	return ""
}

func loopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// validHeader reports whether net/http would send the value.
func validHeader(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

func orDefault[T int | time.Duration](value, standard T) T {
	if value == 0 {
		return standard
	}
	return value
}
