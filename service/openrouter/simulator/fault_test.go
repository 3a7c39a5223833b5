package simulator

import (
	"reflect"
	"strings"
	"testing"
)

func TestFaultsHaveATextForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Fault{
		"429":                         {Name: "429"},
		" 429  retry_after=3 times=2": {Name: "429", Params: map[string]string{"retry_after": "3"}, Times: 2},
		"503 share=0.5 key=aaaa":      {Name: "503", Share: 0.5, Key: "aaaa"},
		"model_deprecated model=a/b":  {Name: "model_deprecated", Model: "a/b"},
		"redirect to=http://h/?a=b":   {Name: "redirect", Params: map[string]string{"to": "http://h/?a=b"}},
	} {
		got, err := ParseFault(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParseFault(%q): got %+v, %v, want %+v", text, got, err, want)
		}
		if again, err := ParseFault(got.String()); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%q: got back %+v, %v", got.String(), again, err)
		}
	}
}

func TestEveryKindDoesOneThing(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, k := range catalogue() {
		ways := 0
		for _, set := range []bool{k.answer != nil, k.shape != nil, k.bend != nil, k.batch == wholeBatch, k.batch == itemInBatch} {
			if set {
				ways++
			}
		}
		if ways > 1 || ways == 0 && !k.unbilled {
			t.Errorf("fault %s is made in %d ways", k.name, ways)
		}
		if seen[k.name] {
			t.Errorf("two faults are named %s", k.name)
		}
		seen[k.name] = true
		for _, p := range k.params {
			if p.value != "" && p.check(p.value) != nil {
				t.Errorf("fault %s: the default of %s is wrong: %v", k.name, p.name, p.check(p.value))
			}
		}
	}
}

func FuzzParseMarkers(f *testing.F) {
	for _, seed := range []string{
		"", "plain", "[sim:429]", "a [sim:429 retry_after=3 times=2] b", "[sim:", "[sim:]", "[si[sim:500]m:500]",
		"[sim:cut after=1 how=eof][sim:503 share=0.5]", "[sim:429 =]", "[sim:huge bytes=99999999999999999999]", "[sim:a\nb]",
		"[sim:503 share=NaN]", "[sim:[sim:429]]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, prompt string) {
		clean, faults, err := parseMarkers(prompt)
		if _, left, _ := parseMarkers(clean); len(left) != 0 {
			t.Errorf("%q: %q still has markers", prompt, clean)
		}
		if len(clean) > len(prompt) {
			t.Errorf("%q became longer: %q", prompt, clean)
		}
		if !strings.Contains(prompt, markerStart) && (len(faults) != 0 || err != nil) {
			t.Errorf("%q has no marker: %v, %v", prompt, faults, err)
		}
		if err != nil {
			return
		}
		for _, fault := range faults {
			again, err := ParseFault(fault.String())
			if err != nil || !reflect.DeepEqual(again, fault) {
				t.Errorf("%+v became %+v, %v", fault, again, err)
			}
		}
	})
}
