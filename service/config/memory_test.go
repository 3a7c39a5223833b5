package config

import (
	"math"
	"strings"
	"testing"
	"testing/fstest"
)

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	const none, unlimitedV1 = int64(math.MaxInt64), "9223372036854771712\n"
	v2 := func(group string) string { return "0::" + group + "\n" }
	const v1 = "12:cpu,cpuacct:/docker/abc\n7:memory:/docker/abc\n1:name=systemd:/docker/abc\n"
	const meminfo = "MemTotal:       16384 kB\nMemFree: 1 kB\n"
	tests := map[string]struct {
		goLimit int64
		files   map[string]string
		want    int64
	}{
		"nothing known":            {none, nil, 0},
		"GOMEMLIMIT alone":         {100, nil, 100},
		"the machine":              {none, map[string]string{"proc/meminfo": meminfo}, 16 << 20},
		"GOMEMLIMIT, no machine's": {100 << 20, map[string]string{"proc/meminfo": meminfo}, 100 << 20},
		"v2, a container":          {none, map[string]string{"proc/self/cgroup": v2("/"), "sys/fs/cgroup/memory.max": "300\n", "proc/meminfo": meminfo}, 300},
		"v2, a group and above":    {none, map[string]string{"proc/self/cgroup": v2("/a/b"), "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "200\n"}, 200},
		"v2, the host's path":      {none, map[string]string{"proc/self/cgroup": v2("/docker/abc"), "sys/fs/cgroup/memory.max": "300\n"}, 300},
		"v2, above itself":         {none, map[string]string{"proc/self/cgroup": v2("/../../x"), "sys/fs/cgroup/memory.max": "300\n"}, 300},
		"v2, no limit":             {none, map[string]string{"proc/self/cgroup": v2("/"), "sys/fs/cgroup/memory.max": "max\n", "proc/meminfo": meminfo}, 16 << 20},
		"v2, nonsense":             {none, map[string]string{"proc/self/cgroup": "x\n" + v2("/"), "sys/fs/cgroup/memory.max": "-1\n", "proc/meminfo": "MemTotal: x kB\n"}, 0},
		"v1":                       {none, map[string]string{"proc/self/cgroup": v1, "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "400\n"}, 400},
		"v1, in a container":       {none, map[string]string{"proc/self/cgroup": v1, "sys/fs/cgroup/memory/memory.limit_in_bytes": "400\n"}, 400},
		"v1, no limit":             {none, map[string]string{"proc/self/cgroup": v1, "sys/fs/cgroup/memory/memory.limit_in_bytes": unlimitedV1, "proc/meminfo": meminfo}, 16 << 20},
		"both, the lesser":         {100, map[string]string{"proc/self/cgroup": v2("/"), "sys/fs/cgroup/memory.max": "90\n"}, 90},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := fstest.MapFS{}
			for path, text := range tt.files {
				root[path] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := ReadMemory(root, tt.goLimit).Limit(); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	if got := (Worker{MemoryBudget: 5 << 20}).Budget(); got != 5<<20 {
		t.Errorf("a budget of 5 MiB is %d", got)
	}
	err := Worker{MemoryBudget: 1}.checkBudget()
	if err == nil || !strings.Contains(err.Error(), "WORKER_MEMORY_BUDGET=1: want 1MiB to 1048576GiB, or 0") {
		t.Errorf("a budget of 1 byte: %v", err)
	}
}
