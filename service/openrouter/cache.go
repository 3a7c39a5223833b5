package openrouter

import (
	"crypto/sha256"
	"io"
	"net/http"
	"strconv"
)

// The headers of OpenRouter's response cache. It answers a request whose body, model and key it has answered before, if the bytes
// of the body are the same.
const (
	cacheHeader       = "X-OpenRouter-Cache"
	cacheTTLHeader    = "X-OpenRouter-Cache-TTL"
	cacheClearHeader  = "X-OpenRouter-Cache-Clear"
	cacheStatusHeader = "X-OpenRouter-Cache-Status"
)

// header returns what the request says of the cache.
func (r *Request) header() http.Header {
	if r.CacheTTL == nil {
		return nil
	}
	h := http.Header{}
	switch {
	case *r.CacheTTL <= 0:
		h.Set(cacheHeader, "false")
	default:
		h.Set(cacheHeader, "true")
		h.Set(cacheTTLHeader, strconv.Itoa(*r.CacheTTL))
		if r.CacheClear {
			h.Set(cacheClearHeader, "true")
		}
	}
	return h
}

// Digest returns a hash of the body. Requests with the same digest are the same to the response cache; the error is one that
// Complete would return too.
func (r *Request) Digest() ([sha256.Size]byte, error) {
	b, err := r.body()
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, b.open()); err != nil {
		return [sha256.Size]byte{}, err
	}
	return [sha256.Size]byte(hash.Sum(nil)), nil
}
