package jsonscan

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzCheck holds the check against encoding/json's, which knows the place of
// the first wrong byte too.
func FuzzCheck(f *testing.F) {
	for _, text := range []string{
		`{}`, `[]`, ` {"a":[1,-0.5e+7,{"b":null}],"c":"\u00e9\n\"","d":true} `, `{"a":01}`, `[1,]`, `{"a"}`, `{,}`, `"` + "\x1f" + `"`,
		`"\x"`, `"\u12g4"`, `tru`, `-`, `1.`, `1e`, `[[[[`, `{"a":{"b":[{"c":`, `null x`, ``, "\"\xff\"", `[}`, `{]`, strings.Repeat("[", 70) + strings.Repeat("]", 70),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		begin := Spaces(body, 0)
		end, ok := Check(body, begin)
		var first json.RawMessage
		decoder := json.NewDecoder(bytes.NewReader(body))
		err := decoder.Decode(&first)
		wrong, syntax := errors.AsType[*json.SyntaxError](err)
		switch {
		case syntax && strings.Contains(wrong.Error(), "max depth") && ok: // only there it has one
		case ok != (err == nil):
			t.Fatalf("Check(%q): %t, %d; encoding/json says %v", body, ok, end, err)
		case ok && end != int(decoder.InputOffset()):
			t.Fatalf("Check(%q) ended at %d; encoding/json at %d", body, end, decoder.InputOffset())
		case syntax && end != int(wrong.Offset)-1:
			t.Fatalf("Check(%q) found the wrong byte at %d; encoding/json at %d", body, end, wrong.Offset-1)
		case !ok && !syntax && end != len(body):
			t.Fatalf("Check(%q) found the wrong byte at %d; it is cut off at %d", body, end, len(body))
		}
	})
}

// At any depth the check and the walk cost no more than a bit a level.
func TestDeep(t *testing.T) {
	t.Parallel()
	const depth = 1 << 20
	deep := []byte(strings.Repeat(`{"a":[`, depth) + strings.Repeat(`]}`, depth))
	if end, ok := Check(deep, 0); !ok || end != len(deep) {
		t.Errorf("got %t at %d, want true at %d", ok, end, len(deep))
	}
	if end, ok := Check(deep[:len(deep)-1], 0); ok || end != Depth/2*6 {
		t.Errorf("cut off: got %t at %d, want false at %d", ok, end, Depth/2*6)
	}
	if skipped := SkipValue(deep, 0); skipped != len(deep) {
		t.Errorf("skipped %d, want %d", skipped, len(deep))
	}
}

// FuzzText holds texts against encoding/json's.
func FuzzText(f *testing.F) {
	for _, text := range []string{`a`, `\n\"\\\/\b\f\r\t`, `\u00e9\u20AC`, `\ud83d\ude42`, `\ud83d`, `\ud83dx`, `\ud83d\n`, `\ud83d\u0041`, `\ude42\ud83d`, `\ud83d\ud83d\ude42`, `é\u0000`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, inner string) {
		quoted := []byte(`"` + inner + `"`)
		var want string
		if !utf8.ValidString(inner) || json.Unmarshal(quoted, &want) != nil {
			return
		}
		if got := Text(quoted); got != want {
			t.Fatalf("Text(%s) = %q, want %q", quoted, got, want)
		}
		for key := range Members([]byte(`{` + string(quoted) + `:0}`)) {
			if string(key) != want {
				t.Fatalf("the key %s is %q, want %q", quoted, key, want)
			}
		}
	})
}

// FuzzWalk holds the walk over valid JSON against encoding/json's; over anything else it ends without panic.
func FuzzWalk(f *testing.F) {
	for _, seed := range []string{
		`[]`, `{}`, ` [ { } , [ ] , "a\\\"" , -1e3 , null ] `, `{"a" : {"b":[1,2]} , "c":"\u0022"}`, `[{"a":"b"},{"a":[]}]`,
		`[`, `["`, `{"`, `{"a"`, `{"a":`, `{"a\u`, `{"a\u":1}`, `[1,`, `]`, `{"a":1`, `[}`, `[,1]`, `[1,,2]`, `{"a":}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var list, values []json.RawMessage
		for _, value := range Elements(data) {
			values = append(values, value)
		}
		if json.Unmarshal(data, &list) == nil && !slices.EqualFunc(list, values, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
			t.Errorf("elements of %s: got %s, want %s", data, values, list)
		}
		object, found := map[string]json.RawMessage{}, map[string]json.RawMessage{}
		for key, value := range Members(data) {
			found[strings.ToValidUTF8(string(key), "\ufffd")] = value
		}
		if json.Unmarshal(data, &object) == nil && len(object) > 0 && utf8.Valid(data) && !reflect.DeepEqual(object, found) {
			t.Errorf("members of %s: got %s, want %s", data, found, object)
		}
	})
}
