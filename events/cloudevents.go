package events

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// CloudEvents attributes of a result, in the names of the NATS binding's
// binary mode: the body is the data, the headers are the envelope.
const (
	HeaderSpecVersion     = "ce-specversion"
	HeaderID              = "ce-id"
	HeaderSource          = "ce-source"
	HeaderType            = "ce-type"
	HeaderTime            = "ce-time"
	HeaderSubject         = "ce-subject"
	HeaderDataContentType = "ce-datacontenttype"
)

// The CloudEvents types of results. A change that would break readers gets a
// new version.
const (
	TypeCompleted = "gemini.request.completed.v1"
	TypeFailed    = "gemini.request.failed.v1"
)

// ResultHeader returns the headers of a result, those of tracing apart. msgID
// is what MessageID returned: readers are idempotent on it (ce-id). source
// names the service, as a URI reference.
func ResultHeader(r Result, msgID, source string, now time.Time) Header {
	kind := TypeFailed
	if r.Status == StatusSuccess {
		kind = TypeCompleted
	}
	const most = 11
	h, values := make(Header, most+3), make([]string, 0, most) // room for a trace, and one array for all values
	set := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	set(HeaderMsgID, msgID)
	set(HeaderSpecVersion, "1.0")
	set(HeaderID, percentEncode(msgID))
	set(HeaderSource, percentEncode(source))
	set(HeaderType, kind)
	set(HeaderTime, formatTime(now))
	set(HeaderSubject, percentEncode(r.RequestID))
	set(HeaderDataContentType, "application/json")
	set(HeaderTenant, cmp.Or(r.Tenant, DefaultTenant))
	if r.ModelRequested != "" {
		set(HeaderModelRequested, percentEncode(r.ModelRequested))
	}
	if r.Key != "" {
		set(HeaderKey, percentEncode(r.Key))
	}
	return h
}

// percentEncode encodes what the binding does not let into a header value:
// space, quote, percent, and all that is not printable ASCII.
func percentEncode(value string) string {
	first := 0
	for first < len(value) && isPlain(value[first]) {
		first++
	}
	if first == len(value) {
		return value
	}
	var encoded strings.Builder
	encoded.WriteString(value[:first])
	for i := first; i < len(value); i++ {
		if c := value[i]; isPlain(c) {
			encoded.WriteByte(c)
		} else {
			fmt.Fprintf(&encoded, "%%%02X", c)
		}
	}
	return encoded.String()
}

func isPlain(c byte) bool { return c > ' ' && c <= '~' && c != '"' && c != '%' }
