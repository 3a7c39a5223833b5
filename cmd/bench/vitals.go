package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// vitals are what must not grow in a process.
type vitals struct {
	goroutines int
	heap       float64 // bytes in use, collected or not
	sockets    int
}

// vitals reads them from a worker's /metrics, and its open files.
func (p *child) vitals(ctx context.Context) (v vitals, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.web+"/metrics", http.NoBody)
	if err != nil {
		return v, err
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return v, err
	}
	v, err = parseVitals(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return v, err
	}
	v.sockets, err = sockets(p.cmd.Process.Pid)
	return v, err
}

var errMetrics = errors.New("/metrics has no go_goroutine_count")

// parseVitals reads Prometheus' text format.
func parseVitals(from io.Reader) (v vitals, err error) {
	found := false
	for lines := bufio.NewScanner(from); lines.Scan(); {
		name, value, _ := cutLast(lines.Text(), " ")
		if strings.HasPrefix(name, "#") {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue // another format's suffix
		}
		switch {
		case strings.HasPrefix(name, "go_goroutine_count"):
			v.goroutines, found = int(n), true
		case strings.HasPrefix(name, "go_memory_used_bytes") && strings.Contains(name, `go_memory_type="other"`):
			v.heap = n
		}
	}
	if !found {
		return v, errMetrics
	}
	return v, nil
}

// sockets counts a process's open sockets.
func sockets(pid int) (n int, err error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		to, err := os.Readlink(filepath.Join(dir, file.Name()))
		if err == nil && strings.HasPrefix(to, "socket:") { // an error: it was closed meanwhile
			n++
		}
	}
	return n, nil
}
