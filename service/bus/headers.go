package bus

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
)

const (
	// jsHeadersMax is the most bytes of headers that JetStream stores with a message,
	// whatever max_payload is (nats-server 2.15.2, stream.go: math.MaxUint16).
	jsHeadersMax = 65_535
	// headerFrame is what headers take on the wire beside their lines.
	headerFrame = len("NATS/1.0\r\n\r\n")
	// headerSlack is left for what the client and the server add by themselves: the
	// names and sequences of a compare-and-set.
	headerSlack = 512
	// smallHeader is the most bytes of a header that a copy always keeps, if it is a vital one.
	smallHeader = 1 << 10
	// droppedNames is the most bytes of names in the note about dropped headers, and
	// noteMax of the note.
	droppedNames = 512
	noteMax      = droppedNames + 64
)

// room returns how many bytes of others' headers fit into a message beside its
// body and what is set on it. streamMax is the stream's max_msg_size, 0 or less
// for none.
func (s *streams) room(body []byte, set events.Header, streamMax int32) int {
	limit := s.conn.MaxPayload()
	if streamMax > 0 {
		limit = min(limit, int64(streamMax))
	}
	return int(min(jsHeadersMax, limit-int64(len(body)))) - (&nats.Msg{Header: set}).Size() - headerSlack
}

// fitting copies as many headers as fit into room bytes, and adds a note that names
// the others. The largest are left behind first, and those that this client cannot
// send (ADR-4: a name is printable ASCII), though others can. What a requester sends
// must never keep its request from being put back, kept or answered.
func fitting(h events.Header, room int) events.Header {
	copied := make(events.Header, len(h)+1)
	sizes, total := make(map[string]int, len(h)), headerFrame
	var dropped []string
	for name, values := range h {
		size := (&nats.Msg{Header: nats.Header{name: values}}).Size() - headerFrame
		if size < 0 { // the client finds the name invalid
			dropped = append(dropped, name)
			continue
		}
		copied[name], sizes[name] = values, size
		total += size
	}
	if total > room || len(dropped) > 0 {
		for _, name := range largestFirst(sizes) {
			if total <= room-noteMax {
				break
			}
			if !isVital(name, sizes[name]) {
				delete(copied, name)
				dropped = append(dropped, name)
				total -= sizes[name]
			}
		}
	}
	if len(dropped) > 0 {
		copied[events.HeaderDropped] = append(slices.Clone(copied[events.HeaderDropped]), note(dropped))
	}
	return copied
}

// largestFirst returns the names of headers by their size, and those of one size
// by name, so that equal messages lose equal headers.
func largestFirst(sizes map[string]int) []string {
	return slices.SortedFunc(maps.Keys(sizes), func(a, b string) int {
		return cmp.Or(cmp.Compare(sizes[b], sizes[a]), cmp.Compare(a, b))
	})
}

// isVital reports whether a copy keeps a header before all others: the service's
// own, and the trace, unless it is so large that only malice can have made it.
func isVital(name string, size int) bool {
	if size > smallHeader {
		return false
	}
	return slices.ContainsFunc([]string{
		events.HeaderRetryCount, events.HeaderStrikes, events.HeaderReplay, events.HeaderBilled, events.HeaderTimeouts, events.HeaderBatch, events.HeaderTick, events.HeaderTenant, events.HeaderLane, events.HeaderIsolated, events.HeaderDropped, "traceparent", "ce-traceparent",
	}, func(vital string) bool { return strings.EqualFold(name, vital) })
}

// note is how many headers were dropped, and their names as far as there is room.
func note(dropped []string) string {
	slices.Sort(dropped)
	var names strings.Builder
	for i, name := range dropped {
		if names.Len()+len(name)+2 > droppedNames {
			fmt.Fprintf(&names, " and %d more", len(dropped)-i)
			break
		}
		if i > 0 {
			names.WriteString(", ")
		}
		names.WriteString(oneLine(name))
	}
	return fmt.Sprintf("%d: %s", len(dropped), strings.TrimSpace(names.String()))
}

// sentenceMax is the most bytes of a sentence in a header.
const sentenceMax = 1 << 10

// oneLine makes a sentence fit for a header.
func oneLine(s string) string {
	line := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(line) <= sentenceMax {
		return line
	}
	return strings.ToValidUTF8(line[:sentenceMax], "") + "…"
}
