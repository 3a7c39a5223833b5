package openrouter

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Quiet wraps a transport so that its errors quote nothing that the other side
// wrote: net/http quotes malformed header lines, in which a server can repeat the
// prompt, and the status line of a proxy, in which that can repeat its password.
// The texts of the local network stay. Errors unwrap to the original.
func Quiet(base http.RoundTripper) http.RoundTripper { return quietTransport{base} }

type quietTransport struct{ base http.RoundTripper }

func (t quietTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.base.RoundTrip(r)
	if err == nil {
		return response, nil
	}
	if ended := r.Context().Err(); ended != nil { // net/http has several errors for it
		return response, endedError{quietError{"the call was ended before an answer came", errors.Join(ended, err)}}
	}
	return response, quiet(err)
}

// CloseIdleConnections closes those of the wrapped transport, if it can.
func (t quietTransport) CloseIdleConnections() {
	if base, can := t.base.(interface{ CloseIdleConnections() }); can {
		base.CloseIdleConnections()
	}
}

// quietError replaces the text of an error that may quote the other side.
type quietError struct {
	text string
	err  error
}

func (e quietError) Error() string { return e.text }
func (e quietError) Unwrap() error { return e.err }

// Spans and metrics show an error's type (error.type, as otelhttp makes it), so
// each way to fail has one.
type (
	endedError    struct{ quietError } // by a time limit, a cancellation, the end of the service
	dnsError      struct{ quietError }
	networkError  struct{ quietError }
	tlsError      struct{ quietError }
	proxyError    struct{ quietError }
	closedError   struct{ quietError } // by the other side
	protocolError struct{ quietError }
)

// refusalError is a proxy's answer to CONNECT that is not 200.
type refusalError struct{ status int }

func (e *refusalError) Error() string { return fmt.Sprintf("the proxy answered %d", e.status) }

// refusedByProxy is http.Transport's OnProxyConnectResponse.
func refusedByProxy(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return &refusalError{response.StatusCode}
}

// quiet returns an error of a known type, without what the other side wrote.
func quiet(err error) error {
	var refusal *refusalError
	var dns *net.DNSError
	var operation *net.OpError
	var alert tls.AlertError
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &refusal):
		return proxyError{quietError{refusal.Error(), err}}
	case errors.As(err, &dns):
		return dnsError{quietError{dns.Error(), err}}
	case errors.As(err, &certificate):
		return tlsError{quietError{certificate.Error(), err}}
	case errors.As(err, &unknown):
		return tlsError{quietError{unknown.Error(), err}}
	case errors.As(err, &alert):
		return tlsError{quietError{alert.Error(), err}}
	case errors.As(err, &operation):
		return networkError{quietError{ownOperation(operation), err}}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return closedError{quietError{"the connection was closed before an answer came", err}}
	}
	return protocolError{quietError{"the connection did not speak HTTP as it should", err}}
}

// ownOperation trusts an operation's text only where the operating system wrote
// the end of it: a proxy's protocol errors are wrapped in the same type.
func ownOperation(o *net.OpError) string {
	if inner, ok := errors.AsType[*net.OpError](o.Err); ok {
		return ownOperation(inner)
	}
	var system interface{ Timeout() bool } // syscall.Errno, os.SyscallError and time-outs of net
	if errors.As(o.Err, &system) {
		return o.Error()
	}
	return o.Op + " failed"
}

// FromProxy reports whether a call did not get past its proxy, which is not there or said
// no.
func FromProxy(err error) bool {
	if errors.As(err, new(*refusalError)) {
		return true
	}
	for operation := (*net.OpError)(nil); errors.As(err, &operation); err = operation.Err {
		if operation.Op == "proxyconnect" || strings.HasPrefix(operation.Op, "socks") {
			return true
		}
	}
	return false
}
