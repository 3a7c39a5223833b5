package openrouter

import (
	"context"
	"encoding/json"
	"io"
	"net/url"
	"strings"
)

// maxLookup is more than any answer about one model.
const maxLookup = 1 << 20

// ModelInfo is the catalogue entry of one model.
type ModelInfo struct {
	ID             string `json:"id"`
	CanonicalSlug  string `json:"canonical_slug"`
	ContextLength  int64  `json:"context_length"`
	ExpirationDate string `json:"expiration_date"` // as it was sent; empty if none is announced
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

// lookup reads one JSON document, within Config.FirstToken, into a pointer to a struct.
func (c *Client) lookup(ctx context.Context, key, path string, into any) error {
	if reason := c.checkKey(key); reason != "" {
		return refuse(key, reason)
	}
	ctx, w := startWatch(ctx)
	defer w.stop()
	w.arm(errFirstToken, c.firstToken)
	resp, err := c.send(ctx, key, path, nil)
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
