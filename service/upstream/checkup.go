package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gemini-client/service/config"
	"gemini-client/service/openrouter"
)

// Checkup asks OpenRouter about keys and models as a Caller does, once and when it is
// told to. Nothing of it costs anything.
type Checkup struct {
	client *openrouter.Client
	models *catalogue
	keys   []*apiKey
	proxy  string
}

// NewCheckup opens no connection; Close closes those of the questions. Errors are
// config.ErrInvalid, of which one is that there is no key.
func NewCheckup(c config.Config) (*Checkup, error) {
	if err := c.RequireKeys(); err != nil {
		return nil, err
	}
	client, endpoint, err := newClient(c, nil)
	if err != nil {
		return nil, err
	}
	k := &Checkup{client: client, models: newCatalogue(client, nil, append([]string{c.Model}, c.Fallbacks()...)...), proxy: proxyOf(c, endpoint)}
	for _, secret := range c.APIKeys {
		k.keys = append(k.keys, &apiKey{secret: secret})
	}
	return k, nil
}

// proxyOf is the proxy that the calls go through, without its password; "" for none.
func proxyOf(c config.Config, endpoint *url.URL) string {
	transport, err := openrouter.NewTransport(c.HTTPProxy, c.NoProxy)
	if err != nil || transport.Proxy == nil {
		return ""
	}
	u, err := transport.Proxy(&http.Request{URL: endpoint})
	if err != nil || u == nil {
		return ""
	}
	return config.MaskURL(u.String())
}

// Close closes the connections.
func (k *Checkup) Close() { k.client.CloseIdleConnections() }

// Proxy is the proxy that the calls go through, without its password; "" for none:
// NO_PROXY and loopback have none.
func (k *Checkup) Proxy() string { return k.proxy }

// Keys is how many keys there are.
func (k *Checkup) Keys() int { return len(k.keys) }

// Models are those of the configuration, as the catalogue names them, the default first.
func (k *Checkup) Models() []string { return k.models.models }

// End is what may be shown of a key: its last four characters, "" if it is too short for
// that.
func (k *Checkup) End(i int) string { return k.keys[i].end() }

// KeyAnswer is what OpenRouter tells of a key. Amounts are in USD.
type KeyAnswer struct {
	Limit     *float64 // nil: no limit of its own
	Remaining *float64
	Reset     string
	ExpiresAt time.Time // zero: never
}

// Warns reports whether the key's end is so near that a worker warns of it.
func (k KeyAnswer) Warns(now time.Time) bool {
	return !k.ExpiresAt.IsZero() && k.ExpiresAt.Sub(now) <= keyExpiryWarning
}

// Key asks about a key. The error is a *CheckupError.
func (k *Checkup) Key(ctx context.Context, i int) (KeyAnswer, error) {
	info, err := k.client.Key(ctx, k.keys[i].secret)
	if err != nil {
		return KeyAnswer{}, troubleOf(err)
	}
	return KeyAnswer{Limit: info.Limit, Remaining: info.Remaining, Reset: info.Reset, ExpiresAt: info.ExpiresAt}, nil
}

// ModelAnswer is what OpenRouter's catalogue says of a model.
type ModelAnswer struct {
	Missing bool
	Date    string    // of its end, as the catalogue has it; empty: none is announced
	At      time.Time // of its end; zero if that is not known
}

// Warns reports whether the model's end is so near that a worker warns of it.
func (m ModelAnswer) Warns(now time.Time) bool {
	return m.Date != "" && (m.At.IsZero() || m.At.Sub(now) <= expirySoon)
}

// Model asks about a model, with a key. The error is a *CheckupError.
func (k *Checkup) Model(ctx context.Context, model string, key int) (ModelAnswer, error) {
	entry, err := k.models.look(ctx, k.keys[key].secret, model)
	if err != nil {
		return ModelAnswer{}, troubleOf(err)
	}
	return ModelAnswer{Missing: entry.missing, Date: entry.date, At: entry.expires}, nil
}

// CheckupError is why OpenRouter did not tell what it was asked.
type CheckupError struct {
	Proxy   bool // the proxy is not there, or said no
	Network bool // no answer came: no address, no connection, no TLS, no time
	Status  int  // of the answer, 0 if there was none
	Edge    bool // the answer is not OpenRouter's own
	Text    string
}

// Error says it for people, without a key.
func (t *CheckupError) Error() string { return t.Text }

// troubleOf reads an error of openrouter.Client.
func troubleOf(err error) *CheckupError {
	t := &CheckupError{Text: strings.TrimPrefix(err.Error(), "openrouter: ")}
	var api *openrouter.Error
	if !errors.As(err, &api) {
		return t
	}
	t.Status, t.Edge = api.Status, api.Edge
	switch api.Kind { //nolint:exhaustive // the others have an answer, or are not made
	case openrouter.KindConnection, openrouter.KindFirstToken, openrouter.KindCallTimeout, openrouter.KindCut:
		t.Network = true
		t.Proxy = openrouter.FromProxy(err)
		t.Text = api.Message
	case openrouter.KindStatus:
		t.Proxy = api.Status == http.StatusProxyAuthRequired
		t.Text = fmt.Sprintf("status %d: %s", api.Status, api.Message)
	}
	return t
}
