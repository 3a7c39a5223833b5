package main

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestParseUsage(t *testing.T) {
	t.Parallel()
	const stat = "4711 (a) b (c) S 1 4711 4711 0 -1 4194560 9 8 7 6 250 31 2 1 20 0 12 0 100 200 300 18446744073709551615\n"
	u, err := parseUsage(stat, "Name:\tx\nVmPeak:\t  99 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n")
	if want := (usage{cpu: 2810 * time.Millisecond, memory: 1 << 20, peak: 2 << 20}); err != nil || u != want {
		t.Errorf("%+v, %v; want %+v", u, err, want)
	}
	for name, c := range map[string][2]string{
		"short": {"4711 (x) S 1 2", ""}, "no name": {"", ""},
		"no number": {strings.Replace(stat, "250", "many", 1), ""}, "no size": {stat, "VmHWM: much\n"},
	} {
		if _, err := parseUsage(c[0], c[1]); !errors.Is(err, errProc) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the machine really says can be read.
func TestUsageOfThisProcess(t *testing.T) {
	t.Parallel()
	dir := "/proc/" + strconv.Itoa(os.Getpid())
	if runtime.GOOS != "linux" {
		t.Skip("the benchmark measures on Linux, by /proc")
	}
	u, err := parseUsage(string(read(t, dir+"/stat")), string(read(t, dir+"/status")))
	if err != nil || u.memory < 1<<20 || u.peak < u.memory {
		t.Errorf("%+v, %v", u, err)
	}
	if n, err := sockets(os.Getpid()); err != nil {
		t.Errorf("%d sockets, %v", n, err)
	}
}

func TestParseVitals(t *testing.T) {
	t.Parallel()
	const text = "# HELP go_goroutine_count Count.\n# TYPE go_goroutine_count gauge\ngo_goroutine_count 42.0\n" +
		"go_memory_used_bytes{go_memory_type=\"stack\"} 1.0\ngo_memory_used_bytes{go_memory_type=\"other\"} 1.5e+06\n"
	v, err := parseVitals(strings.NewReader(text))
	if want := (vitals{goroutines: 42, heap: 1.5e6}); err != nil || v != want {
		t.Errorf("%+v, %v; want %+v", v, err, want)
	}
	if _, err := parseVitals(strings.NewReader("up 1\n")); !errors.Is(err, errMetrics) {
		t.Errorf("without the count: %v", err)
	}
}

func TestCleanEnv(t *testing.T) {
	t.Parallel()
	got := cleanEnv([]string{"PATH=/bin", "OPENROUTER_API_KEYS=sk-or-v1-real", "NATS_URL=nats://elsewhere", "GOGC=50", "HTTP_PROXY=http://p"})
	if strings.Join(got, " ") != "PATH=/bin GOGC=50" {
		t.Errorf("what is kept: %v", got)
	}
}
