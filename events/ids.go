package events

import "strings"

// uuidLength is the length of a UUID's text form, 8-4-4-4-12.
const uuidLength = 36

// ValidID reports whether id is a UUID in text form: 8-4-4-4-12 hexadecimal
// digits, any case, any version. Only such an id is safe in a subject.
func ValidID(id string) bool {
	if len(id) != uuidLength {
		return false
	}
	for i := range len(id) {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (id[i] == '-') {
			return false
		} else if !dash && !isHex(id[i]) {
			return false
		}
	}
	return true
}

// CanonicalID returns the form of a request id that subjects use: lower case.
// Two spellings of one UUID are one request.
func CanonicalID(id string) string { return strings.ToLower(id) }

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
