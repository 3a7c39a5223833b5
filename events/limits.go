package events

import "fmt"

// The most that a request may hold. Whoever reads it after this service builds
// something for each of these, however small it is on the wire: 8 MiB of small
// parts are gigabytes of objects.
const (
	// MaxDepth bounds how deeply lists and objects are nested in messages and in
	// openrouter; the field itself is the first level.
	MaxDepth = 128
	// MaxMetadataDepth is the same for metadata. Nobody here looks into it, but what is
	// nested more deeply makes a result that not even encoding/json reads.
	MaxMetadataDepth = readersDepth - 1
	// MaxKeys bounds the keys of all objects in messages, and of those in openrouter.
	MaxKeys = 100_000
	// MaxMessages bounds messages.
	MaxMessages = 10_000
	// MaxParts bounds the content parts and the tool calls of all messages together.
	MaxParts = 10_000
	// MaxStopSequences bounds parameters.stop_sequences.
	MaxStopSequences = 64
	// MaxOpenRouterFields bounds the fields of openrouter.
	MaxOpenRouterFields = 256
	// MaxListed bounds openrouter.models, openrouter.plugins and openrouter.tools
	// each.
	MaxListed = 1000
)

// withinDepth checks how deeply a value is nested, withinLimits its keys as well.
func (b *broken) withinDepth(most int, path string, value []byte) bool {
	depth, _ := extent(value)
	if depth > most {
		b.add(path, "is nested %d levels deep; nest at most %d", depth, most)
	}
	return depth <= most
}

func (b *broken) withinLimits(path string, value []byte) bool {
	_, keys := extent(value)
	if keys > MaxKeys {
		b.add(path, "has %d keys in all its objects; give at most %d", keys, MaxKeys)
	}
	return b.withinDepth(MaxDepth, path, value) && keys <= MaxKeys
}

// atMost checks how many entries a list has, or members an object, before anything
// is built of them.
func (b *broken) atMost(most int, path string, value []byte, what string) bool {
	n := length(value)
	if n > most {
		b.add(path, "has %d %s; give at most %d", n, what, most)
	}
	return n <= most
}

// length is the number of entries of a list, or of members of an object.
func length(value []byte) (n int) {
	if kindOf(value) == isList {
		for range elements(value) {
			n++
		}
		return n
	}
	for range members(value) {
		n++
	}
	return n
}

// extent returns how deeply a value is nested (0 for a text or a number) and how
// many keys its objects have.
func extent(value []byte) (deepest, keys int) {
	depth := 0
	for i := 0; i < len(value); {
		switch value[i] {
		case '"':
			i = skipString(value, i)
			continue
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		case ':':
			keys++
		}
		i++
	}
	return deepest, keys
}

// place names an entry of a list.
func place(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
