package batchrun_test

import (
	"fmt"
	"strings"
	"testing"

	"gemini-client/cmd/gemini-client/batchrun"
	"gemini-client/events/client/clienttest"
)

// A template makes prompts of JSON objects and of rows; another template makes other requests.
func TestTemplate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		input string
		csv   bool
		want  []string
	}{
		"JSON": {`{"name":"tea","price":12345678901234567890,"tags":["hot"]}` + "\n" + `{"name":"ice"}` + "\n[1]\n", false, []string{
			"success to Describe tea for 12345678901234567890.", `error Line 2 was not submitted: template: template:1:25: executing "template" at <.price>: map has no entry for key "price"`,
			"error Line 3 was not submitted: it is no JSON object for the template",
		}},
		"CSV":     {"\ufeff\"name\",price\r\n\"tea, or\n\"\"chai\"\"\",3\r\nice,\r\n", true, []string{"success to Describe tea, or\n\"chai\" for 3.", "success to Describe ice for ."}},
		"nothing": {"", true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, clienttest.WithAnswer(echo))
			made, err := batchrun.NewTemplate("Describe {{.name}} for {{.price}}.")
			if err != nil {
				t.Fatal(err)
			}
			o := batchrun.Options{Template: made, CSV: tt.csv, Ordered: true}
			b.run(tt.input, o)
			got := b.results()
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("got %q, want %q", got[i], tt.want[i])
				}
			}
			before := len(got)
			if sum := b.run(tt.input, o); sum.Skipped != before {
				t.Errorf("again: %+v, want %d skipped", sum, before)
			}
			if o.Template, err = batchrun.NewTemplate("Praise {{.name}}."); err != nil {
				t.Fatal(err)
			}
			if sum := b.run(tt.input, o); sum.Skipped != 0 {
				t.Errorf("another template: %+v, want nothing skipped", sum)
			}
		})
	}
	if _, err := batchrun.NewTemplate("{{.name"); err == nil || !strings.Contains(err.Error(), "--template") {
		t.Errorf("broken: %v", err)
	}
}

// A row that is longer than the first one ends the run: what follows would be another column.
// So do two columns of one name.
func TestBrokenCSV(t *testing.T) {
	t.Parallel()
	b := newBench(t, clienttest.WithAnswer(echo))
	made, err := batchrun.NewTemplate("{{.a}}")
	if err != nil {
		t.Fatal(err)
	}
	for input, want := range map[string]string{"a,b\n1,2\n1,2,3\n": "line 3", "a,b,a\n1,2,3\n": `two columns are named "a"`} {
		_, err = batchrun.Run(t.Context(), b.Client, batchrun.Options{Input: strings.NewReader(input), Output: b.output, Template: made, CSV: true, MaxInFlight: 1})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", input, err, want)
		}
	}
	if got := b.results(); len(got) > 1 {
		t.Errorf("results: %q", got)
	}
}

// results are the output's, as texts.
func (b *bench) results() (all []string) {
	b.t.Helper()
	for _, l := range b.lines() {
		text := l["content"]
		if text == nil {
			text = l["error"]
		}
		all = append(all, fmt.Sprint(l["status"], " ", text))
	}
	return all
}
