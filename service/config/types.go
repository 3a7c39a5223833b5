package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"gemini-client/events"
	"gemini-client/service/tenant"
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

// CacheTTL is how long an answer may be kept: whole seconds; 0 is off. As text it is
// a time such as 1h, or off or 0.
type CacheTTL time.Duration

// UnmarshalText reads it; cleanenv and YAML both call it.
func (c *CacheTTL) UnmarshalText(text []byte) error {
	if strings.EqualFold(string(text), "off") || string(text) == "0" { // as other settings have it
		*c = 0
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if most := events.MaxCacheTTL * time.Second; err != nil || d < time.Second || d > most || d%time.Second != 0 {
		return fmt.Errorf("%q is neither off nor a time from 1s to %v", text, most)
	}
	*c = CacheTTL(d)
	return nil
}

// String returns the text.
func (c CacheTTL) String() string {
	if c == 0 {
		return "off"
	}
	return time.Duration(c).String()
}

// Seconds returns how many; 0 is off.
func (c CacheTTL) Seconds() int { return int(time.Duration(c) / time.Second) }

// Budget is what may be spent, as tenant.ParseBudget reads it. It is a text because
// cleanenv takes a struct for a group of settings.
type Budget string

// UnmarshalText checks it; cleanenv and YAML both call it.
func (b *Budget) UnmarshalText(text []byte) error {
	_, err := tenant.ParseBudget(string(text))
	if err == nil {
		*b = Budget(text)
	}
	return err
}

// Bounds are what it says; none if it says nothing that can be read.
func (b Budget) Bounds() tenant.Budget {
	read, err := tenant.ParseBudget(string(b))
	if err != nil {
		return tenant.Budget{}
	}
	return read
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

// Lanes are the weights of the two lanes, the interactive one first. As text:
// interactive:8,batch:1.
type Lanes [2]int

// maxLane bounds a weight.
const maxLane = 1000

// Weight returns that of a lane.
func (l Lanes) Weight(lane events.Lane) int { return l[laneIndex(lane)] }

func laneIndex(lane events.Lane) int {
	return slices.Index([]events.Lane{events.LaneInteractive, events.LaneBatch}, lane)
}

// UnmarshalText reads it; cleanenv and YAML both call it.
func (l *Lanes) UnmarshalText(text []byte) error {
	var read Lanes
	for part := range strings.SplitSeq(string(text), ",") {
		lane, weight, _ := strings.Cut(strings.TrimSpace(part), ":")
		n, err := strconv.Atoi(strings.TrimSpace(weight))
		i := laneIndex(events.Lane(strings.TrimSpace(lane)))
		if err != nil || i < 0 || read[i] != 0 || n < 1 || n > maxLane {
			return fmt.Errorf("%q names no weights: write interactive:8,batch:1, each once, from 1 to %d", text, maxLane)
		}
		read[i] = n
	}
	if slices.Contains(read[:], 0) {
		return fmt.Errorf("%q lacks a lane: write interactive:8,batch:1", text)
	}
	*l = read
	return nil
}

// String returns the text.
func (l Lanes) String() string {
	return fmt.Sprintf("%s:%d,%s:%d", events.LaneInteractive, l[0], events.LaneBatch, l[1])
}
