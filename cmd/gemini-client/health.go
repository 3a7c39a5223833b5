package main

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

	"github.com/spf13/cobra"
)

// healthTime is below the time that deploy/Dockerfile gives a health check.
const healthTime = 3 * time.Second

func healthCommand(from *source, std streams) *cobra.Command {
	var ready bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the service on this machine, at HTTP_ADDR, whether it is alive or ready",
		Long: `Ask the service on this machine, at HTTP_ADDR, whether it is alive: the health
check of a container, which needs no shell and no curl. With --ready: whether it
takes requests, and if not why. Exit code 0: yes; 1: no, or there is no answer.`,
		Example: `  gemini-client health
  gemini-client health --ready
  HTTP_ADDR=127.0.0.1:1 gemini-client health # exit code 1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Other problems are reported by the service, which does not start with them.
			c, _, _ := from.load()
			path := "/healthz"
			if ready {
				path = "/readyz"
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), healthTime)
			defer cancel()
			answer, err := askHealth(ctx, c.HTTPAddr, path)
			if err != nil { // 1 whatever it is: Docker reserves a health check's exit code 2
				_, _ = fmt.Fprintf(std.err, "gemini-client: %v\n", err)
				return errFailed
			}
			_, _ = fmt.Fprintln(std.out, answer)
			return nil
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether it takes requests (/readyz), not only whether it is alive (/healthz)")
	return cmd
}

// askHealth returns the answer of a service that listens on addr, which may have
// no host, or that of every interface.
func askHealth(ctx context.Context, addr, path string) (string, error) {
	if addr == "" {
		return "", fmt.Errorf("HTTP_ADDR is empty: the service serves no %s, set HTTP_ADDR=:8080", path)
	}
	client := http.Client{Transport: &http.Transport{ // no Proxy: HTTP_PROXY is for OpenRouter alone
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr) // takes ":8080" and "[::]:8080" for this machine
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL, which is not the address that was called
	}
	if err != nil {
		return "", fmt.Errorf("HTTP_ADDR=%s: no answer: %w", addr, err)
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err != nil {
		return "", fmt.Errorf("HTTP_ADDR=%s%s: %w", addr, path, err)
	}
	text := strings.TrimSpace(string(body))
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("HTTP_ADDR=%s%s: %s: %s", addr, path, response.Status, text)
	}
	return text, nil
}
