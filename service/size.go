package service

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// Size is a number of bytes. As text it may carry a unit: 1048576, 512KiB,
// 1GiB, 1GB.
type Size int64

// UnmarshalText reads a size; the error says what is accepted.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n > 1<<62 {
		return fmt.Errorf("%q is not a size: write bytes (1048576) or a unit (512KiB, 1GiB)", text)
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
