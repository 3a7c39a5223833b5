package events

import (
	"fmt"

	"gemini-client/events/jsonscan"
)

// The most that a request may hold. Whoever reads it after this service builds
// something for each of these, however small it is on the wire: 8 MiB of small
// parts are gigabytes of objects.
const (
	// MaxDepth bounds how deeply lists and objects are nested in messages and in
	// openrouter; the field itself is the first level.
	MaxDepth = 128
	// MaxMetadataDepth is the same for metadata. Nobody here looks into it, but what is
	// nested more deeply makes a result that not even encoding/json reads.
	MaxMetadataDepth = jsonscan.Depth - 1
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
	// MaxListed bounds openrouter.plugins and openrouter.tools each.
	MaxListed = 1000
	// MaxUser bounds openrouter.user, in characters. This limit and those below are
	// OpenRouter's own.
	MaxUser = 128
	// MaxSessionID bounds openrouter.session_id, in characters.
	MaxSessionID = 256
	// MaxPairs bounds the pairs of openrouter.metadata.
	MaxPairs = 16
	// MaxPairKey bounds each of their keys, in characters.
	MaxPairKey = 64
	// MaxPairValue bounds each of their values, in characters.
	MaxPairValue = 512
	// MaxCacheTTL bounds cache_ttl, in seconds.
	MaxCacheTTL = 86400
	// MaxModels bounds openrouter.models: OpenRouter answers a longer list with a 400
	// and asks none of its models.
	MaxModels = 3
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
	if jsonscan.KindOf(value) == jsonscan.List {
		for range jsonscan.Elements(value) {
			n++
		}
		return n
	}
	for range jsonscan.Members(value) {
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
			i = jsonscan.SkipString(value, i)
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
