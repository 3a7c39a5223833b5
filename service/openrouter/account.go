package openrouter

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxLookup is more than any answer about one model.
const maxLookup = 1 << 20

// ModelInfo is the catalogue entry of one model.
type ModelInfo struct {
	ID             string  `json:"id"`
	CanonicalSlug  string  `json:"canonical_slug"`
	ContextLength  int64   `json:"context_length"`
	ExpirationDate string  `json:"expiration_date"` // as it was sent; empty if none is announced
	Pricing        Pricing `json:"pricing"`
}

// Price is in USD for one token at list price; 0 if it is free, not known, or -1 as of models that choose another.
type Price float64

// UnmarshalJSON takes the catalogue's strings, and numbers.
func (p *Price) UnmarshalJSON(data []byte) error {
	value, err := strconv.ParseFloat(strings.Trim(string(data), `"`), 64)
	if err != nil || !(value > 0) || math.IsInf(value, 0) {
		value = 0
	}
	*p = Price(value)
	return nil
}

// Model reads a model by its slug, author/name. The error is an *[Error]; Status 404 means that there is no such model.
func (c *Client) Model(ctx context.Context, key, slug string) (ModelInfo, error) {
	var info ModelInfo
	parts := strings.Split(slug, "/")
	for i, part := range parts {
		if part == "" || part == "." || part == ".." {
			return ModelInfo{}, refuse(key, "a model's slug is author/name")
		}
		parts[i] = url.PathEscape(part)
	}
	if err := c.lookup(ctx, key, "/model/"+strings.Join(parts, "/"), &info); err != nil {
		return ModelInfo{}, err
	}
	return info, nil
}

// KeyInfo is what OpenRouter tells of a key. Amounts are in USD.
type KeyInfo struct {
	Limit     *float64  // what the key may spend, in each period or in all; nil: it has no limit of its own
	Remaining *float64  // of Limit; negative after an overdraft; nil: no limit
	Reset     string    // the period: daily, weekly, monthly; empty: never
	Usage     float64   // what was spent with it in all
	ExpiresAt time.Time // zero: never
}

// Key asks about the key itself (GET /key), which costs nothing. The error is an *[Error]; Status 404 means that the server has no such
// endpoint.
func (c *Client) Key(ctx context.Context, key string) (KeyInfo, error) {
	var wire struct {
		Limit     text   `json:"limit"`
		Remaining text   `json:"limit_remaining"`
		Reset     string `json:"limit_reset"`
		Usage     text   `json:"usage"`
		ExpiresAt string `json:"expires_at"`
	}
	if err := c.lookup(ctx, key, "/key", &wire); err != nil {
		return KeyInfo{}, err
	}
	info := KeyInfo{Limit: amount(wire.Limit), Remaining: amount(wire.Remaining), Reset: redactor(key).line(wire.Reset)}
	if usage := amount(wire.Usage); usage != nil {
		info.Usage = *usage
	}
	if at, err := time.Parse(time.RFC3339, wire.ExpiresAt); err == nil {
		info.ExpiresAt = at.UTC()
	}
	return info, nil
}

// amount reads a number; nil if there is none.
func amount(t text) *float64 {
	value, err := strconv.ParseFloat(string(t), 64)
	if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
		return nil
	}
	return &value
}

// lookup reads one JSON document, within Config.FirstToken, into a pointer to a struct.
func (c *Client) lookup(ctx context.Context, key, path string, into any) error {
	if reason := c.checkKey(key); reason != "" {
		return refuse(key, reason)
	}
	ctx, w := startWatch(ctx)
	defer w.stop()
	w.arm(errFirstToken, c.firstToken)
	resp, err := c.get(ctx, key, http.MethodGet, path)
	if err != nil {
		return c.fault(ctx, key, KindConnection, err)
	}
	defer func() { _ = resp.Body.Close() }() // the body was read to its end, or is not needed
	if resp.StatusCode/100 != 2 {
		w.arm(errEnding, errorBodyTime)
		return statusError(key, resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxLookup+1))
	switch {
	case err != nil:
		return c.fault(ctx, key, KindCut, err)
	case len(body) > maxLookup:
		return &Error{Kind: KindTooLarge, Status: resp.StatusCode, Message: "the answer to " + path + " is too large"}
	}
	var doc struct {
		Data  json.RawMessage `json:"data"`
		Error json.RawMessage `json:"error"`
	}
	err = decode(body, &doc)
	if failed := errorObjectError(key, resp, doc.Error); failed != nil {
		return failed
	}
	if len(doc.Data) > 0 {
		body = doc.Data
	}
	if err != nil || decode(body, into) != nil {
		return &Error{Kind: KindMalformed, Status: resp.StatusCode, Message: "the answer to " + path + " is no JSON object", Retryable: true}
	}
	return nil
}
