package config

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// leastBudget is the smallest WORKER_MEMORY_BUDGET beside 0.
const leastBudget = 1 << 20

func (w Worker) checkBudget() error {
	if w.MemoryBudget == 0 {
		return nil
	}
	if err := between("WORKER_MEMORY_BUDGET", w.MemoryBudget, leastBudget, 1<<50); err != nil {
		return fmt.Errorf("%w, or 0 for half of the memory that the process may use", err)
	}
	return nil
}

// Budget is the memory, in bytes, for what this process has in hand: as it was set,
// or half of what the process may use. 0 = no bound, where that is not known.
func (w Worker) Budget() int64 {
	if w.MemoryBudget > 0 {
		return int64(w.MemoryBudget)
	}
	return ReadMemory(os.DirFS("/"), debug.SetMemoryLimit(-1)).Limit() / 2
}

// Memory is what bounds the memory of this process, in bytes; 0 where there is no bound,
// or none is known.
type Memory struct {
	Go        int64 // GOMEMLIMIT
	Container int64 // the control group's limit
	Machine   int64 // all that there is
}

// ReadMemory reads the bounds. root is the root of the file system; goLimit is Go's
// limit, whose largest int64 is none.
func ReadMemory(root fs.FS, goLimit int64) Memory {
	m := Memory{Container: ContainerMemory(root), Machine: machineMemory(root)}
	if goLimit < math.MaxInt64 {
		m.Go = goLimit
	}
	return m
}

// Limit is how many bytes this process may use: the lesser of Go's limit and the
// container's; without both, the machine's memory; 0 if nothing is known.
func (m Memory) Limit() int64 {
	switch {
	case m.Go > 0 && m.Container > 0:
		return min(m.Go, m.Container)
	case m.Go > 0 || m.Container > 0:
		return max(m.Go, m.Container)
	}
	return m.Machine
}

// ContainerMemory is the memory limit, in bytes, of the control group that this
// process is in; 0 if it has none. root is the root of the file system. It reads
// both versions of Linux's interface: memory.max of the group and of those above it
// (version 2), memory.limit_in_bytes (version 1).
func ContainerMemory(root fs.FS) int64 {
	groups, _ := fs.ReadFile(root, "proc/self/cgroup") // without it there are no control groups
	limit := int64(math.MaxInt64)
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // hierarchy:controllers:path
		if len(parts) < 3 {
			continue
		}
		mount, file := "sys/fs/cgroup", "memory.max"
		if parts[1] != "" {
			mount, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		if parts[1] != "" && !strings.Contains(","+parts[1]+",", ",memory,") {
			continue
		}
		// In a container the path may be the host's: then only the root is there.
		for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
			limit = min(limit, readLimit(root, path.Join(mount, group, file)))
			if group == "/" {
				break
			}
		}
	}
	if limit >= unlimited {
		return 0
	}
	return limit
}

// unlimited is what version 1 says where there is no limit, or more.
const unlimited = 1 << 60

// readLimit reads a limit; "max", and what cannot be read, is none.
func readLimit(root fs.FS, name string) int64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return math.MaxInt64
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n <= 0 {
		return math.MaxInt64
	}
	return n
}

// machineMemory reads MemTotal, which Linux has; 0 elsewhere.
func machineMemory(root fs.FS) int64 {
	text, _ := fs.ReadFile(root, "proc/meminfo")
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "MemTotal:" && fields[2] == "kB" {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			return n << 10
		}
	}
	return 0
}
