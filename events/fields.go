package events

import (
	"iter"
	"slices"

	"gemini-client/events/jsonscan"
)

// fields are the known members of one JSON object. Each method reads one and adds
// what is wrong with it to broken; ok is false when there is no usable value, be it
// absent or broken.
type fields struct {
	path   string
	values map[string][]byte
	// repeated names those given more than once: readers differ on which counts.
	repeated map[string]bool
	broken   *broken
}

// readFields reads the members called names from an object; with no names, all of
// them. path is what comes before the name of a member in a text.
func readFields(object []byte, path string, b *broken, names ...string) fields {
	f := fields{path: path, values: map[string][]byte{}, broken: b}
	for key, value := range jsonscan.Members(object) {
		if len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool { return name == string(key) }) {
			continue
		}
		name := string(key)
		if _, again := f.values[name]; again && !f.repeated[name] {
			if f.repeated == nil {
				f.repeated = map[string]bool{}
			}
			f.repeated[name] = true
			b.add(f.at(name), "is given more than once; give it once")
		}
		f.values[name] = value
	}
	return f
}

// at returns the path of a member. Names the contract does not know come from
// outside, so they are cut like values.
func (f fields) at(name string) string {
	if len(name) > maxQuoted {
		name = quote(name)
	}
	return f.path + name
}

// get returns a member's value, unless it is absent or repeated.
func (f fields) get(name string) (value []byte, ok bool) {
	value, ok = f.values[name]
	return value, ok && !f.repeated[name]
}

// getOrNull is get for members for which null means the same as absent.
func (f fields) getOrNull(name string) (value []byte, ok bool) {
	value, ok = f.get(name)
	return value, ok && jsonscan.KindOf(value) != jsonscan.Null
}

// objects yields the members called name of each object in a list, null
// meaning an empty list.
func (f fields) objects(list, name string) iter.Seq[fields] {
	return func(yield func(fields) bool) {
		value, ok := f.getOrNull(list)
		if !ok {
			return
		}
		if jsonscan.KindOf(value) != jsonscan.List {
			f.broken.add(f.at(list), "is %s; give a list of objects", show(value))
			return
		}
		if !f.broken.atMost(MaxListed, f.at(list), value, "entries") {
			return
		}
		for i, element := range jsonscan.Elements(value) {
			path := place(f.at(list), i)
			if jsonscan.KindOf(element) != jsonscan.Object {
				f.broken.add(path, "is %s; give an object", show(element))
			} else if !yield(readFields(element, path+".", f.broken, name)) {
				return
			}
		}
	}
}
