package config

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
)

// List is a list of texts. As a variable it is separated by commas; spaces
// around the entries, and empty entries, do not count.
type List []string

// SetValue implements cleanenv.Setter. It returns nil.
func (l *List) SetValue(text string) error {
	*l = nil
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			*l = append(*l, entry)
		}
	}
	return nil
}

// Size is a number of bytes. As text it may carry a unit: 1048576, 512KiB,
// 1GiB, 1GB.
type Size int64

// UnmarshalText reads a size; cleanenv and YAML both call it.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n > 1<<62 {
		return fmt.Errorf("%q is not a size", text)
	}
	*s = Size(n)
	return nil
}

// String returns the size with the largest unit that keeps it exact.
func (s Size) String() string {
	units := []struct {
		size Size
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}}
	for _, unit := range units {
		if s != 0 && s%unit.size == 0 {
			return fmt.Sprintf("%d%s", s/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d", int64(s))
}
