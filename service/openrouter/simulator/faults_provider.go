package simulator

import (
	"fmt"
	"net/http"
)

// providerFaults are errors of the providers behind OpenRouter, of OpenRouter's servers and of the edge in front of them.
func providerFaults() []kind {
	faults := []kind{
		{
			name: "429", about: "429, providers are at their limits; with Retry-After if it is given", routed: true,
			params: []param{retryAfter("")},
			answer: refused{429, "rate_limit_exceeded", "Rate limit exceeded"}.
				fault(map[string]any{"provider_code": "rate_limited", "provider_name": "Google"}),
		},
		{
			name: "429_provider", about: "429 that a provider returned, relayed with its raw text; with Retry-After if every provider gave a hint",
			routed: true, params: []param{retryAfter("")},
			answer: relayed(429, `{"error":{"code":429,"message":"Resource exhausted. Please try again later.","status":"RESOURCE_EXHAUSTED"}}`,
				map[string]any{"limit_source": "upstream_provider_shared_pool", "remedy_hint": "Retry shortly"}),
		},
		{
			name: "500", about: "500, masked", routed: true,
			answer: refused{500, "server", "Internal Server Error"}.fault(nil),
		},
		{
			name: "502", about: "502 provider_unavailable", routed: true,
			answer: refused{502, "provider_unavailable", "Provider returned error"}.
				fault(map[string]any{"provider_name": "Google"}),
		},
		{
			name: "503", about: "503 provider_overloaded; with Retry-After if it is given", routed: true,
			params: []param{retryAfter("")},
			answer: refused{503, "provider_overloaded", "No provider is available that meets your routing requirements"}.
				fault(nil),
		},
		{
			name: "504", about: "504 timeout", routed: true,
			answer: refused{504, "timeout", "The provider did not respond in time"}.fault(nil),
		},
		{
			name: "529", about: "529, the provider is overloaded", routed: true, params: []param{retryAfter("")},
			answer: refused{529, "provider_overloaded", "Provider returned error"}.fault(nil),
		},
	}
	for _, code := range []int{502, 520, 522, 524} {
		name := fmt.Sprint(code)
		if code == http.StatusBadGateway {
			name += "_html" // the plain 502 is OpenRouter's own
		}
		faults = append(faults, kind{
			name: name, about: fmt.Sprintf("%d of Cloudflare's edge: an HTML page", code),
			answer: func(*exchange, args) reply { return htmlReply(code) },
		})
	}
	return faults
}

// htmlReply is an error page of the edge.
func htmlReply(status int) reply {
	return textReply(status, "text/html; charset=UTF-8", fmt.Sprintf(`<!DOCTYPE html>
<html lang="en-US">
<head><title>openrouter.ai | %d: Web server error</title></head>
<body><h1>Error code %d</h1><p>Visit cloudflare.com for more information.</p></body>
</html>
`, status, status))
}
