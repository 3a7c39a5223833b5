package jsonscan

import "strings"

// Depth is how deeply others read: encoding/json, for one.
const Depth = 10_000

// Check returns the index after the JSON value that begins at i, which is no
// space; or, if none does, the index of the first wrong byte (the length of a text
// that ends too early; where encoding/json would stop, if that comes before) and
// false. It accepts what json.Valid accepts, at any depth: a body that is nested
// too deeply is still answered.
func Check(b []byte, i int) (end int, ok bool) {
	var open nesting
	for {
		if i, ok = open.begin(b, i); ok && open.awaitsValue {
			continue
		}
		if ok {
			i, ok = open.end(b, i)
		}
		if !ok && open.tooDeep > 0 {
			return open.tooDeep, false
		}
		if !ok || !open.awaitsValue {
			return i, ok
		}
	}
}

// nesting is the objects and lists that are open, a bit for each.
type nesting struct {
	outer       uint64   // of the first 64, which is mostly all
	inner       []uint64 // of the others
	depth       int
	awaitsValue bool
	tooDeep     int // the index of the first value below Depth; 0 if there is none
}

func (n *nesting) push(i int, object bool) {
	if n.depth == Depth && n.tooDeep == 0 {
		n.tooDeep = i
	}
	if n.depth/64 > len(n.inner) {
		n.inner = append(n.inner, 0)
	}
	word, bit := n.word(n.depth), uint64(1)<<(n.depth%64)
	*word &^= bit
	if object {
		*word |= bit
	}
	n.depth++
}

func (n *nesting) inObject() bool {
	return *n.word(n.depth - 1)>>((n.depth-1)%64)&1 == 1
}

func (n *nesting) word(depth int) *uint64 {
	if depth < 64 {
		return &n.outer
	}
	return &n.inner[depth/64-1]
}

// begin reads the beginning of a value up to where the next one begins
// (awaitsValue), or all of it.
func (n *nesting) begin(b []byte, i int) (next int, ok bool) {
	n.awaitsValue = false
	if i == len(b) {
		return i, false
	}
	switch b[i] {
	case '{':
		at := i
		if i = Spaces(b, i+1); i < len(b) && b[i] == '}' {
			return i + 1, true
		}
		n.push(at, true)
		n.awaitsValue = true
		return checkKey(b, i)
	case '[':
		at := i
		if i = Spaces(b, i+1); i < len(b) && b[i] == ']' {
			return i + 1, true
		}
		n.push(at, false)
		n.awaitsValue = true
		return i, true
	case '"':
		return checkString(b, i)
	case 't':
		return checkWord(b, i, "true")
	case 'f':
		return checkWord(b, i, "false")
	case 'n':
		return checkWord(b, i, "null")
	}
	return checkNumber(b, i)
}

// end reads what follows a value: the ends of the lists and objects that it ends,
// and a comma, after which the next value begins (awaitsValue).
func (n *nesting) end(b []byte, i int) (next int, ok bool) {
	for n.depth > 0 {
		i = Spaces(b, i)
		object := n.inObject()
		switch {
		case i == len(b):
			return i, false
		case b[i] == ',':
			n.awaitsValue = true
			if i = Spaces(b, i+1); object {
				return checkKey(b, i)
			}
			return i, true
		case object && b[i] == '}', !object && b[i] == ']':
			i++
			n.depth--
		default:
			return i, false
		}
	}
	return i, true
}

// checkKey reads a key and its colon, up to its value.
func checkKey(b []byte, i int) (next int, ok bool) {
	if i == len(b) || b[i] != '"' {
		return i, false
	}
	if i, ok = checkString(b, i); !ok {
		return i, false
	}
	if i = Spaces(b, i); i == len(b) || b[i] != ':' {
		return i, false
	}
	return Spaces(b, i+1), true
}

func checkString(b []byte, i int) (next int, ok bool) {
	for i++; i < len(b); i++ {
		switch {
		case b[i] == '"':
			return i + 1, true
		case b[i] < ' ':
			return i, false
		case b[i] == '\\':
			if i, ok = checkEscape(b, i+1); !ok {
				return i, false
			}
		}
	}
	return i, false
}

// checkEscape reads what follows a backslash and returns the index of its last
// byte.
func checkEscape(b []byte, i int) (last int, ok bool) {
	if i == len(b) || strings.IndexByte(`"\/bfnrtu`, b[i]) < 0 {
		return i, false
	}
	if b[i] != 'u' {
		return i, true
	}
	for end := i + 4; i < end; {
		if i++; i == len(b) || (b[i] < '0' || '9' < b[i]) && (b[i]|0x20 < 'a' || 'f' < b[i]|0x20) {
			return i, false
		}
	}
	return i, true
}

func checkWord(b []byte, i int, word string) (next int, ok bool) {
	for _, letter := range []byte(word) {
		if i == len(b) || b[i] != letter {
			return i, false
		}
		i++
	}
	return i, true
}

// checkNumber reads a number: an integer without leading zeros, then perhaps a
// fraction and an exponent.
func checkNumber(b []byte, i int) (next int, ok bool) {
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i, ok = digits(b, i); !ok {
		return i, false
	}
	if i < len(b) && b[i] == '.' {
		if i, ok = digits(b, i+1); !ok {
			return i, false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return digits(b, i)
	}
	return i, true
}

// digits skips at least one digit.
func digits(b []byte, i int) (next int, ok bool) {
	begin := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i, i > begin
}
