package events

import (
	"math"
	"strconv"
	"time"

	"gemini-client/events/jsonscan"
)

// text reads a string.
func (f fields) text(name string) (s string, ok bool) {
	value, ok := f.get(name)
	if !ok {
		return "", false
	}
	if jsonscan.KindOf(value) != jsonscan.String {
		f.broken.add(f.at(name), "is %s; give a string", show(value))
		return "", false
	}
	return jsonscan.Text(value), true
}

// secret reads a string that no text may show, null meaning absent.
func (f fields) secret(name string) (s string, ok bool) {
	value, ok := f.getOrNull(name)
	if !ok {
		return "", false
	}
	if kind := jsonscan.KindOf(value); kind != jsonscan.String {
		f.broken.add(f.at(name), "is %s; give a string", kind)
		return "", false
	}
	return jsonscan.Text(value), true
}

// number reads a number from low to high into the variable, which keeps its
// value if there is none.
func (f fields) number(name string, low, high float64, into *float64) {
	value, ok := f.get(name)
	if !ok {
		return
	}
	n, ok := parseNumber(value)
	if !ok || n < low || n > high {
		f.broken.add(f.at(name), "is %s; give a number from %v to %v", show(value), low, high)
		return
	}
	*into = n
}

// integer is number for whole numbers, which may be written 40.0 or 4e1.
func (f fields) integer(name string, low, high int, into *int) {
	value, ok := f.get(name)
	if !ok {
		return
	}
	n, ok := parseNumber(value)
	if !ok || n != math.Trunc(n) || n < float64(low) || n > float64(high) {
		f.broken.add(f.at(name), "is %s; give an integer from %d to %d", show(value), low, high)
		return
	}
	*into = int(n)
}

// integerOrNull is integer for members for which null means the same as absent.
func (f fields) integerOrNull(name string, low, high int) *int {
	if _, ok := f.getOrNull(name); !ok {
		return nil
	}
	n := low
	f.integer(name, low, high, &n)
	return &n
}

// count reads an integer of 0 or more. What is beyond an int32 counts as its
// largest: no limit is that high.
func (f fields) count(name string) int {
	value, ok := f.get(name)
	if !ok {
		return 0
	}
	n, ok := parseNumber(value)
	if !ok || n != math.Trunc(n) || n < 0 {
		f.broken.add(f.at(name), "is %s; give an integer of 0 or more", show(value))
		return 0
	}
	return int(min(n, math.MaxInt32))
}

// boolean reads a boolean, null meaning absent.
func (f fields) boolean(name string) bool {
	value, ok := f.getOrNull(name)
	if !ok {
		return false
	}
	if jsonscan.KindOf(value) != jsonscan.Bool {
		f.broken.add(f.at(name), "is %s; give true or false", show(value))
		return false
	}
	return value[0] == 't'
}

// timeOf reads the time a value of the member called name holds; zero if it
// holds none.
func (f fields) timeOf(name string, value []byte) time.Time {
	if jsonscan.KindOf(value) == jsonscan.String {
		if t, ok := parseTime(jsonscan.Text(value)); ok {
			return t
		}
	}
	f.broken.add(f.at(name), "is %s; give a time like 2025-12-08T10:11:12.123456Z", show(value))
	return time.Time{}
}

// parseNumber reads a JSON number. What is too large for a float64 becomes an
// infinity, which no range holds but that of count.
func parseNumber(value []byte) (float64, bool) {
	if jsonscan.KindOf(value) != jsonscan.Number {
		return 0, false
	}
	// The syntax was checked, so the only error left is the range.
	n, _ := strconv.ParseFloat(string(value), 64)
	return n, true
}

// list reads a list of so many strings at most, null meaning absent.
func (f fields) list(name string, most int) []string {
	value, ok := f.getOrNull(name)
	if !ok {
		return nil
	}
	if jsonscan.KindOf(value) != jsonscan.List {
		f.broken.add(f.at(name), "is %s; give a list of strings or null", show(value))
		return nil
	}
	if !f.broken.atMost(most, f.at(name), value, "entries") {
		return nil
	}
	var list []string
	for i, element := range jsonscan.Elements(value) {
		if jsonscan.KindOf(element) != jsonscan.String {
			f.broken.add(place(f.at(name), i), "is %s; give a string", show(element))
			continue
		}
		list = append(list, jsonscan.Text(element))
	}
	return list
}
