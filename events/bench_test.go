package events_test

import (
	"strings"
	"testing"

	"gemini-client/events"
)

func BenchmarkDecode(b *testing.B) {
	line := "The quick brown fox jumps over the lazy dog, and other words."
	bodies := []struct {
		name string
		body []byte
	}{
		{"golden", golden(b, "request_backend.json")},
		{"200KiB", []byte(body(`"prompt":"` + strings.Repeat(line+" ", 200*1024/(len(line)+1)) + `","metadata":{"a":1}`))},
		{"200KiB-lines", []byte(body(`"prompt":"` + strings.Repeat(line+`\n`, 200*1024/(len(line)+2)) + `","metadata":{"a":1}`))},
		{"200KiB-messages", []byte(body(`"messages":[` + strings.Repeat(`{"role":"user","content":"`+line+`"},`, 200*1024/(len(line)+28)) + `{"role":"user"}]`))},
	}
	for _, bb := range bodies {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bb.body)))
			r := rules()
			for b.Loop() {
				if _, err := r.Decode(bb.body, now()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	result := goldenResults()["result_completed.json"]
	long := result
	long.Content = new(strings.Repeat("A line of an answer.\n", 1000))
	for _, bb := range []struct {
		name   string
		result events.Result
	}{{"golden", result}, {"20KiB", long}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bb.result.Encode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
