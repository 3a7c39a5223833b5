package events

import (
	"slices"
	"strconv"
	"strings"
)

// Header is the headers of a NATS message. Names keep their case on the wire.
type Header = map[string][]string

// The service's own headers, on rescheduled requests, dead letters and results.
const (
	// HeaderRetryCount counts how often the service rescheduled the request after a call; it
	// adds to the body's retry_count.
	HeaderRetryCount = "Gemini-Retry-Count"
	// HeaderTimeouts counts the deliveries in which an answer did not come in time.
	// Only the service's own word counts, as of HeaderBilled.
	HeaderTimeouts = "Gemini-Timeouts"
	// HeaderStrikes counts how often the request was rescheduled as a crash loop:
	// its starts never settled.
	HeaderStrikes = "Gemini-Strikes"
	// HeaderBilled holds what earlier deliveries of the request cost, as JSON: a
	// Bill. Only the service's own word counts: it is dropped from requests.
	HeaderBilled = "Gemini-Billed"
	// HeaderBatch says of a request that waits as a schedule that it waits for a batch
	// (see BatchState). Only the service's own word counts, as of HeaderBilled.
	HeaderBatch = "Gemini-Batch"
	// HeaderTick marks a message of the service's own, by which a batch is collected
	// or watched. Only the service's own word counts.
	HeaderTick = "Gemini-Tick"
	// HeaderTenant names whose request it is or was, on results, dead letters and
	// rescheduled requests. Only the service's own word counts: a request's tenant is
	// what its subject says.
	HeaderTenant = "Gemini-Tenant"
	// HeaderLane names the lane of a rescheduled request and of a dead letter, as
	// HeaderTenant its tenant.
	HeaderLane = "Gemini-Lane"
	// HeaderIsolated says of a rescheduled request and of a dead letter whether its tenant
	// was isolated when it came, which decides where it is answered: true or false, and
	// nothing for the default tenant's. Only the service's own word counts.
	HeaderIsolated = "Gemini-Isolated"
	// HeaderReplay holds the stream sequence of the failed result an operator's
	// replay may follow.
	HeaderReplay = "Gemini-Replay"
	// HeaderModelRequested names in a result the model that the request asked for, where
	// another one answered: the result's model_used.
	HeaderModelRequested = "Gemini-Model-Requested"
	// HeaderKey names in a result the API key that paid for it by its last four characters,
	// as logs and `gemini-client status` do: of several keys the one of the last call that
	// cost something, or of the last call if none did. There is none where no call was made,
	// or the key is too short to show any of it.
	HeaderKey = "Gemini-Key"
	// HeaderReason says in a dead letter why the request failed, in a sentence.
	HeaderReason = "Gemini-Reason"
	// HeaderTruncated says in a dead letter without a usable id that only the
	// beginning of the body is kept: how many bytes it had.
	HeaderTruncated = "Gemini-Truncated"
	// HeaderDropped says in a copy which headers of the original it could not carry.
	HeaderDropped = "Gemini-Headers-Dropped"
	// HeaderOriginalPrefix precedes the names of a dead letter's NATS headers.
	HeaderOriginalPrefix = "Gemini-Original-"
)

// HeaderMsgID is NATS's header for duplicates, on results and dead letters.
const HeaderMsgID = "Nats-Msg-Id"

const headerNATSPrefix = "Nats-"

// MessageID makes the Nats-Msg-Id of a result. delivery is a UUID made for the
// delivery, so that a worker can tell its own result from another's.
func MessageID(requestID, delivery string) string { return requestID + "/" + delivery }

// WithoutNATS copies the headers a retry keeps: all but NATS's own, each of
// which breaks a later publish. The result is never nil.
func WithoutNATS(h Header) Header {
	kept := Header{}
	for name, values := range h {
		if !isNATS(name) {
			kept[name] = slices.Clone(values)
		}
	}
	return kept
}

// AsOriginal copies the headers a dead letter keeps: all of them, NATS's own
// under Gemini-Original-<name>, where they do nothing. They replace those an
// earlier dead letter of the same message left. The result is never nil.
func AsOriginal(h Header) Header {
	kept := WithoutNATS(h)
	for name, values := range h {
		if isNATS(name) {
			kept[HeaderOriginalPrefix+name] = slices.Clone(values)
		}
	}
	return kept
}

// RetryCount reads HeaderRetryCount. It returns 0, false if the header is
// absent or is no integer of 0 or more.
func RetryCount(h Header) (int, bool) { return count(h, HeaderRetryCount) }

// Timeouts reads HeaderTimeouts. It returns 0, false if the header is absent or
// is no integer of 0 or more.
func Timeouts(h Header) (int, bool) { return count(h, HeaderTimeouts) }

// Strikes reads HeaderStrikes. It returns 0, false if the header is absent or
// is no integer of 0 or more.
func Strikes(h Header) (int, bool) { return count(h, HeaderStrikes) }

// Replay reads HeaderReplay. It returns 0, false if the header is absent or is
// no stream sequence; these begin at 1.
func Replay(h Header) (uint64, bool) {
	sequence, err := strconv.ParseUint(first(h, HeaderReplay), 10, 64)
	if err != nil || sequence == 0 {
		return 0, false
	}
	return sequence, true
}

func count(h Header, name string) (int, bool) {
	value := first(h, name)
	if value == "" { // as nearly always: an error would be made of it
		return 0, false
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0, false
	}
	return int(n), true
}

// first returns a header's first value. Other clients spell names their own
// way, so the case does not matter; the exact name goes first, then the first
// in order, lest the answer depend on the order of a map.
func first(h Header, name string) string {
	if _, ok := h[name]; !ok {
		var found []string
		for other := range h {
			if strings.EqualFold(other, name) {
				found = append(found, other)
			}
		}
		if len(found) == 0 {
			return ""
		}
		name = slices.Min(found)
	}
	if len(h[name]) == 0 {
		return ""
	}
	return h[name][0]
}

func isNATS(name string) bool {
	// Servers mark their status messages with Status and Description. A client
	// takes any message that has them, and no body, for one.
	if strings.EqualFold(name, "Status") || strings.EqualFold(name, "Description") {
		return true
	}
	return len(name) >= len(headerNATSPrefix) && strings.EqualFold(name[:len(headerNATSPrefix)], headerNATSPrefix)
}
