package batchrun

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"text/template"
)

// NewTemplate reads a template that makes a prompt of a record: {{.name}} is its field, or
// the column of a CSV file. A field that a record lacks is an error of that line.
func NewTemplate(text string) (*template.Template, error) {
	t, err := template.New("template").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("--template: %w", err)
	}
	return t, nil
}

// prompt makes the prompt of a record, which is a JSON object.
func prompt(t *template.Template, record []byte) (string, error) {
	var fields map[string]any
	numbers := json.NewDecoder(bytes.NewReader(record)) // as they are written
	numbers.UseNumber()
	if err := numbers.Decode(&fields); err != nil {
		return "", fmt.Errorf("it is no JSON object for the template: %w", err)
	}
	var text strings.Builder
	if err := t.Execute(&text, fields); err != nil {
		return "", err
	}
	return text.String(), nil
}

// maxLine is the longest line: more than a server takes.
const maxLine = 64 << 20

// lines iterates over the lines of a file.
func lines(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		input := bufio.NewScanner(r)
		input.Buffer(make([]byte, 0, 64<<10), maxLine)
		for input.Scan() {
			if !yield(input.Bytes(), nil) {
				return
			}
		}
		if err := input.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// rows iterates over the rows of a CSV file (RFC 4180) below its first one, which names the
// columns, each as a JSON object.
func rows(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		table := csv.NewReader(withoutMark(r))
		table.ReuseRecord = true
		head, err := table.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		names := slices.Clone(head)
		if err == nil {
			err = distinct(names)
		}
		for err == nil {
			var row []string
			if row, err = table.Read(); errors.Is(err, io.EOF) {
				return
			}
			if err == nil && !yield(object(names, row)) {
				return
			}
		}
		yield(nil, err)
	}
}

// withoutMark skips the byte order mark that spreadsheets write.
func withoutMark(r io.Reader) io.Reader {
	const mark = "\ufeff"
	input := bufio.NewReader(r)
	if start, _ := input.Peek(len(mark)); string(start) == mark {
		_, _ = input.Discard(len(mark)) // it was just seen
	}
	return input
}

// distinct returns an error for two columns of one name, of which a template could mean either.
func distinct(names []string) error {
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if seen[name] {
			return fmt.Errorf("two columns are named %q: rename one", name)
		}
		seen[name] = true
	}
	return nil
}

// Count returns how many lines or rows an input has, blank ones apart.
func Count(r io.Reader, isCSV bool) (n int, err error) {
	records := lines(r)
	if isCSV {
		records = rows(r)
	}
	for data, err := range records {
		if err != nil {
			return n, err
		}
		if len(bytes.TrimSpace(data)) > 0 {
			n++
		}
	}
	return n, nil
}

// object is a row as a JSON object. The reader has seen to it that a row is as long as the
// first one.
func object(names, row []string) ([]byte, error) {
	fields := make(map[string]string, len(names))
	for i, name := range names {
		fields[name] = row[i]
	}
	return json.Marshal(fields)
}
