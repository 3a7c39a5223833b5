package events

import (
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
	return Header{
		HeaderMsgID:           {msgID},
		HeaderSpecVersion:     {"1.0"},
		HeaderID:              {percentEncode(msgID)},
		HeaderSource:          {percentEncode(source)},
		HeaderType:            {kind},
		HeaderTime:            {formatTime(now)},
		HeaderSubject:         {percentEncode(r.RequestID)},
		HeaderDataContentType: {"application/json"},
	}
}

// percentEncode encodes what the binding does not let into a header value:
// space, quote, percent, and all that is not printable ASCII.
func percentEncode(value string) string {
	var encoded strings.Builder
	for i := range len(value) {
		if c := value[i]; c > ' ' && c <= '~' && c != '"' && c != '%' {
			encoded.WriteByte(c)
		} else {
			fmt.Fprintf(&encoded, "%%%02X", c)
		}
	}
	return encoded.String()
}
