package jsonscan

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Text decodes a string. Most hold no escape, and then their bytes are their text. Half a surrogate pair, which JSON can spell and UTF-8 cannot,
// becomes U+FFFD.
func Text(value []byte) string {
	inner := value[1 : len(value)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	return string(unescape(make([]byte, 0, len(inner)), inner))
}

// AppendText appends what a string says.
func AppendText(to, value []byte) []byte { return unescape(to, value[1:len(value)-1]) }

// unescape appends the text of a string, given without its quotes. Half a surrogate
// pair becomes U+FFFD.
func unescape(to, inner []byte) []byte {
	for i := 0; i < len(inner); {
		if inner[i] != '\\' {
			to = append(to, inner[i])
			i++
			continue
		}
		if letter := inner[i+1]; letter != 'u' || len(inner) < i+6 {
			to = append(to, unescaped(letter))
			i += 2
			continue
		}
		char := hex(inner[i+2:])
		i += 6
		if utf16.IsSurrogate(char) {
			var low rune
			if i+6 <= len(inner) && inner[i] == '\\' && inner[i+1] == 'u' {
				low = hex(inner[i+2:])
			}
			if char = utf16.DecodeRune(char, low); char != utf8.RuneError {
				i += 6
			}
		}
		to = utf8.AppendRune(to, char)
	}
	return to
}

func unescaped(letter byte) byte {
	switch letter {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return letter
}

func hex(four []byte) rune {
	n, _ := strconv.ParseUint(string(four[:4]), 16, 16) // the syntax was checked
	return rune(n)
}
