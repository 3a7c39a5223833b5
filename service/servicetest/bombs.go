package servicetest

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// Bomb is a request that is small on the wire and large in the memory of whoever
// reads it carelessly.
type Bomb struct {
	Name   string
	Header nats.Header
	Body   func(id string) []byte
}

// around is a body with a text before and after the id.
func around(before, after string) func(id string) []byte {
	return func(id string) []byte { return []byte(before + id + after) }
}

// Bombs returns a bomb of each kind, whose bodies have about so many bytes.
func Bombs(size int) []Bomb {
	of := func(name, begin, unit, end string) Bomb {
		middle := strings.TrimSuffix(strings.Repeat(unit, (size-len(begin)-len(end)-100)/len(unit)), ",")
		return Bomb{Name: name, Body: around(`{"request_id":"`, `",`+begin+middle+end)}
	}
	var keys strings.Builder
	for i := 0; keys.Len() < size-300; i++ {
		fmt.Fprintf(&keys, `"%x":0,`, i)
	}
	distinct := strings.TrimSuffix(keys.String(), ",")
	deep := strings.Repeat("[", size/2-200) + strings.Repeat("]", size/2-200)
	header := nats.Header{}
	for i := range 6500 { // as many as fit into the 64 KiB that JetStream allows
		header[fmt.Sprintf("a%x", i)] = []string{""}
	}
	const asked = `"prompt":"x",`
	return []Bomb{
		of("parts", `"messages":[{"role":"user","content":[`, `{"text":""},`, `]}]}`),
		of("openrouter", asked+`"openrouter":{`, distinct, `}}`),
		of("prompt", `"prompt":"`, `x`, `"}`),
		of("prompt of escapes", `"prompt":"`, `\u0000`, `"}`),
		of("system instruction", asked+`"system_instruction":"`, `<`, `"}`),
		of("tools", asked+`"openrouter":{"tools":[`, `{},`, `]}}`),
		of("metadata", asked+`"metadata":{`, distinct, `}}`),
		of("metadata of a failure", `"metadata":{`, distinct, `}}`),
		of("deep metadata", asked+`"metadata":{"a":`, deep, `}}`),
		{Name: "headers", Header: header, Body: around(`{"request_id":"`, `","prompt":"x"}`)},
	}
}
