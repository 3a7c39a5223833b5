package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is one way in which a call goes wrong: the name of an entry of Faults and its parameters. The text form of
// ParseFault and the marker in a prompt mean the same.
type Fault struct {
	Name string
	// Params are the entry's own parameters; what is missing has its default.
	Params map[string]string
	// Times is how many calls get the fault; 0 is all of them.
	Times int
	// Share is the fraction of calls, 0 to 1, that gets it, chosen by Config.Seed; 0 is all of them.
	Share float64
	// Key limits it to API keys that end with it, Model to calls that ask for this model first.
	Key, Model string
	// Until ends it. A fault with a retry_after that is not given counts down to it.
	Until time.Time
}

// Storm429 answers with 429 until then, with a Retry-After that counts down.
func Storm429(until time.Time) Fault { return Fault{Name: "429", Until: until} }

// ParseFault reads the text form, such as "429 retry_after=3 times=2". The error names every problem.
func ParseFault(text string) (Fault, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return Fault{}, errors.New("fault without a name")
	}
	f := Fault{Name: fields[0]}
	var problems []error
	for _, field := range fields[1:] {
		key, value, assigned := strings.Cut(field, "=")
		if !assigned {
			problems = append(problems, fmt.Errorf("%q is not of the form key=value", field))
			continue
		}
		problems = append(problems, assign(&f, key, value))
	}
	return f, errors.Join(append(problems, f.check())...)
}

// assign sets one parameter of the text form.
func assign(f *Fault, key, value string) error {
	var err error
	switch key {
	case "times":
		f.Times, err = strconv.Atoi(value)
		if err != nil || f.Times < 1 {
			return fmt.Errorf("times=%s: not a number from 1 on", value)
		}
	case "share":
		f.Share, err = strconv.ParseFloat(value, 64)
		if err != nil || !(f.Share > 0 && f.Share <= 1) {
			return fmt.Errorf("share=%s: not a number above 0 and up to 1", value)
		}
	case "key":
		f.Key = value
	case "model":
		f.Model = value
	default:
		if f.Params == nil {
			f.Params = make(map[string]string)
		}
		f.Params[key] = value
	}
	return nil
}

// String returns the text form that ParseFault reads; Until has none.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.Name)
	for _, key := range slices.Sorted(maps.Keys(f.Params)) {
		fmt.Fprintf(&b, " %s=%s", key, f.Params[key])
	}
	if f.Times > 0 {
		fmt.Fprintf(&b, " times=%d", f.Times)
	}
	if f.Share > 0 {
		fmt.Fprintf(&b, " share=%s", strconv.FormatFloat(f.Share, 'g', -1, 64))
	}
	if f.Key != "" {
		b.WriteString(" key=" + f.Key)
	}
	if f.Model != "" {
		b.WriteString(" model=" + f.Model)
	}
	return b.String()
}

// check returns every problem of the name and the parameters.
func (f Fault) check() error {
	known := catalogue()
	i := slices.IndexFunc(known, func(k kind) bool { return k.name == f.Name })
	if i < 0 {
		return fmt.Errorf("unknown fault %q", f.Name)
	}
	var problems []error
	for _, key := range slices.Sorted(maps.Keys(f.Params)) {
		problems = append(problems, known[i].checkParam(key, f.Params[key]))
	}
	return errors.Join(problems...)
}

// arguments returns the parameters with the defaults filled in.
func (f Fault) arguments(k kind) args {
	filled := make(args, len(k.params))
	for _, p := range k.params {
		value, given := f.Params[p.name]
		if !given && p.name == "retry_after" && !f.Until.IsZero() {
			value = seconds(time.Until(f.Until))
		}
		filled[p.name] = cmp.Or(value, p.value)
	}
	return filled
}

// seconds rounds up to whole seconds, at least one, as in Retry-After.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int((d+time.Second-1)/time.Second)))
}

const markerStart = "[sim:"

// parseMarkers returns the prompt without its markers, the faults they ask for, and every problem in them.
func parseMarkers(prompt string) (clean string, faults []Fault, err error) {
	var b strings.Builder
	var problems []error
	for rest := prompt; ; {
		before, from, found := strings.Cut(rest, markerStart)
		marker, after, closed := strings.Cut(from, "]")
		if !found || !closed {
			b.WriteString(rest)
			return strings.TrimSpace(b.String()), faults, errors.Join(problems...)
		}
		f, err := ParseFault(marker)
		if err != nil {
			problems = append(problems, fmt.Errorf("marker [sim:%s]: %w", marker, err))
		}
		faults = append(faults, f)
		b.WriteString(before + " ") // a space, or what is left and right might join to a new marker
		rest = after
	}
}
