package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Endpoint returns OPENROUTER_BASE_URL without a trailing slash, checked: an
// absolute http or https URL without user, query and fragment, and https unless
// it is on loopback or no key is a real one. The error names the variable and
// shows no password.
func (o OpenRouter) Endpoint() (*url.URL, error) {
	u, why := parseEndpoint(o.BaseURL)
	if why == nil && u.Scheme == "http" && !loopback(u.Hostname()) && slices.ContainsFunc(o.APIKeys, isRealKey) {
		why = errors.New("a real key would travel unencrypted: use https:// (http:// is for 127.0.0.1, or for keys that are not OpenRouter's)")
	}
	if why != nil {
		return nil, fmt.Errorf("OPENROUTER_BASE_URL=%s: %w", MaskURL(o.BaseURL), why)
	}
	return u, nil
}

func parseEndpoint(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "" || (u.Scheme != "http" && u.Scheme != "https"):
		return nil, errors.New("want an http or https URL such as https://openrouter.ai/api/v1") // err would repeat the password
	case u.User != nil:
		return nil, errors.New("must not carry a user or a password: keys are set with OPENROUTER_API_KEYS")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("must not carry a query or a fragment")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u, nil
}

func checkProxy(raw string) error {
	if raw == "" {
		return nil
	}
	proxy, err := url.Parse(raw)
	if err != nil || proxy.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, proxy.Scheme) {
		return fmt.Errorf("HTTP_PROXY=%s: want a URL with http, https or socks5, such as http://hysteria2:8080", MaskURL(raw))
	}
	return nil
}

// CheckServers checks what the NATS client will parse. The client's errors are not passed
// on: they repeat pieces of a password where a character in it is not escaped.
func (n NATS) CheckServers() error {
	for _, server := range n.Servers() {
		u, err := url.Parse(server)
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return fmt.Errorf("NATS_URL=%s: want URLs such as nats://127.0.0.1:4222, separated by commas; set NATS_USER and NATS_PASSWORD apart, or escape characters such as , / ? # in them (%%2C)", MaskURL(n.URL))
		}
	}
	if n.Embedded {
		_, _, err := n.EmbeddedAddress()
		return err
	}
	return nil
}

// EmbeddedAddress returns where the server of NATS_EMBEDDED listens: an address on
// loopback, and a port; 0 is any that is free. The error names NATS_URL and shows no
// password.
func (n NATS) EmbeddedAddress() (host string, port int, err error) {
	if n.Context != "" {
		return "", 0, fmt.Errorf("NATS_EMBEDDED and the NATS context %q exclude each other: the embedded server has no context, so leave one of them out", n.Context)
	}
	servers := n.Servers()
	u, err := url.Parse(servers[0])
	if err == nil {
		host, port = u.Hostname(), 4222
		if u.Port() != "" {
			port, err = strconv.Atoi(u.Port())
		}
	}
	if err != nil || len(servers) > 1 || port > math.MaxUint16 || !loopback(host) {
		return "", 0, fmt.Errorf("NATS_URL=%s: with NATS_EMBEDDED want one loopback address such as nats://127.0.0.1:4222", MaskURL(n.URL))
	}
	if strings.EqualFold(host, "localhost") {
		host = "127.0.0.1"
	}
	return host, port, nil
}

// Servers are the URLs of the list, each with a scheme, as the NATS client reads
// them.
func (n NATS) Servers() (urls []string) {
	for server := range strings.SplitSeq(n.URL, ",") {
		server = strings.TrimSuffix(strings.TrimSpace(server), "/")
		if !strings.Contains(server, "://") {
			server = "nats://" + server
		}
		urls = append(urls, server)
	}
	return urls
}

// Where names the servers, and what names them, for messages. It shows no password.
func (n NATS) Where() string {
	if n.Context != "" && os.Getenv("NATS_URL") == "" {
		return fmt.Sprintf("url %s of the NATS context %q", MaskURL(n.URL), n.Context)
	}
	return "NATS_URL=" + MaskURL(n.URL)
}

func loopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// MaskURL hides user and password, or a token, in each URL of a list that is
// separated by commas. It masks what url.Parse cannot read, and URLs without a
// scheme, as well. A piece without a scheme may be the rest of a password with a
// comma in it, so it is masked together with the piece before it.
func MaskURL(list string) string {
	var parts []string
	for part := range strings.SplitSeq(list, ",") {
		if len(parts) > 0 && !strings.Contains(part, "://") {
			parts[len(parts)-1] += "," + part
			continue
		}
		parts = append(parts, part)
	}
	for i, part := range parts {
		scheme, rest, found := strings.Cut(part, "://")
		if !found {
			scheme, rest = "", part
		}
		at := strings.LastIndex(rest, "@")
		if at < 0 {
			continue
		}
		if found {
			scheme += "://"
		}
		parts[i] = scheme + "****" + rest[at:]
	}
	return strings.Join(parts, ",")
}
