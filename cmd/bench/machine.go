package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// machine is where and with what was measured.
type machine struct {
	CPU     string    `json:"cpu"`
	Memory  string    `json:"memory"`
	Kernel  string    `json:"kernel"`
	Cores   int       `json:"cores"`
	Go      string    `json:"go"`
	NATS    string    `json:"nats"`
	Service string    `json:"service"` // the version it tells
	Date    time.Time `json:"date"`
}

// thisMachine describes it; what cannot be read is empty.
func thisMachine(o options) machine {
	m := machine{
		CPU: field("/proc/cpuinfo", "model name"), Memory: field("/proc/meminfo", "MemTotal"), Kernel: output(os.ReadFile("/proc/sys/kernel/osrelease")),
		Cores: runtime.NumCPU(), Go: runtime.Version(), NATS: "nats-server " + server.VERSION, Date: time.Now().UTC().Truncate(time.Second),
	}
	m.Service = output(exec.Command(o.worker, "version").Output()) //nolint:gosec,noctx // the program that the command line names
	if o.natsServer != "" {
		m.NATS = output(exec.Command(o.natsServer, "--version").Output()) //nolint:gosec,noctx // the same
	}
	return m
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s, Linux %s, %s, %s, %s", m.CPU, m.Cores, m.Memory, m.Kernel, m.Go, m.NATS, m.Service)
}

// field is the first value with this name in a file of /proc.
func field(file, name string) string {
	text, err := os.ReadFile(file) //nolint:gosec // of /proc
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// output is what could be read, on one line.
func output(text []byte, err error) string {
	if err != nil {
		return ""
	}
	return strings.Join(strings.Fields(string(text)), " ")
}
