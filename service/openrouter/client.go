package openrouter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
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
	Call       time.Duration // for a whole chat completion, whatever it waits for; no limit

	MaxAnswerBytes int // content, reasoning and tool calls together, or a whole answer that comes as one document; 16 MiB
	MaxLineBytes   int // one line, and one event, of the stream; 4 MiB
}

// Client calls OpenRouter. It is safe for concurrent use.
type Client struct {
	transport  http.RoundTripper
	base       string
	chat       *http.Request // what all calls have in common
	referer    string
	title      string
	firstToken time.Duration
	gap        time.Duration
	call       time.Duration // 0: no limit
	maxAnswer  int
	maxLine    int
	inClear    bool // the base URL is http:// to another host than loopback

	buffers sync.Pool // of *buffers
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
	if c.FirstToken < 0 || c.Gap < 0 || c.Call < 0 || c.MaxAnswerBytes < 0 || c.MaxLineBytes < 0 {
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
	root := strings.TrimRight(base.String(), "/")
	chat, err := http.NewRequest(http.MethodPost, root+"/chat/completions", http.NoBody) //nolint:noctx // each call gives it one
	if err != nil {
		return nil, fmt.Errorf("openrouter configuration: base URL: %w", err)
	}
	return &Client{
		transport:  transport,
		base:       root,
		chat:       chat,
		referer:    c.Referer,
		title:      c.Title,
		firstToken: orDefault(c.FirstToken, defaultFirstToken),
		gap:        orDefault(c.Gap, defaultGap),
		call:       c.Call,
		maxAnswer:  orDefault(c.MaxAnswerBytes, defaultMaxAnswerBytes),
		maxLine:    orDefault(c.MaxLineBytes, defaultMaxLineBytes),
		inClear:    base.Scheme == "http" && !loopback(base.Hostname()),
	}, nil
}

// CloseIdleConnections closes the connections that no call is using, if the transport can.
func (c *Client) CloseIdleConnections() {
	if t, can := c.transport.(interface{ CloseIdleConnections() }); can {
		t.CloseIdleConnections()
	}
}

// post sends a call; the caller closes the response's body.
func (c *Client) post(ctx context.Context, key string, b *body) (*http.Response, error) {
	req := c.chat.WithContext(ctx)
	req.Header = make(http.Header, 8)
	req.Body, req.ContentLength = b.open(), b.size
	req.GetBody = func() (io.ReadCloser, error) { return b.open(), nil } // for a connection that was closed meanwhile
	c.sign(req, key)
	req.Header["Accept"] = []string{"text/event-stream"}
	req.Header["Content-Type"] = []string{"application/json"}
	maps.Copy(req.Header, b.header)
	return c.do(req)
}

// get asks for a document; the caller closes the response's body.
func (c *Client) get(ctx context.Context, key, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	c.sign(req, key)
	req.Header.Set("Accept", "application/json")
	return c.do(req)
}

// do makes one HTTP request. It follows no redirect, as an http.Client would: the key must not be sent to a host that nobody configured.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	resp, err := c.transport.RoundTrip(req)
	if err == nil && (resp == nil || resp.Body == nil) {
		return nil, errNoResponse
	}
	return resp, err
}

var errNoResponse = errors.New("the transport has no response and no error")

// sign sets the headers of every request: whose it is and who sends it.
func (c *Client) sign(req *http.Request, key string) {
	req.Header["Authorization"] = []string{"Bearer " + key}
	req.Header["User-Agent"] = []string{"gemini-client"}
	if c.referer != "" {
		req.Header["Http-Referer"] = []string{c.referer}
	}
	if c.title != "" {
		req.Header["X-Openrouter-Title"] = []string{c.title}
	}
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
