package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// found is a stored message without its body.
type found struct {
	subject   string
	sequence  uint64
	messageID string
	time      time.Time
}

// errNotAll is the error of an answer that lacks something, or may lack it.
var errNotAll = errors.New("the server did not say which messages there are")

// lastsMaxBytes ends an answer that is large, because each message comes with its
// body: what is behind it is to be asked for singly, where looksAtOnce bounds it.
const lastsMaxBytes = 1 << 20

// lasts asks a stream for the last message of each subject, in one question, and calls
// got for each that is there, in the order of their sequences; a filter with wildcards
// stands for all subjects that it matches. Then it calls done, once: without an error,
// what was not got is not there. Both are called as by post. Errors: errNotAll and
// post's, after which each subject has to be asked for by itself.
//
// A copy of the stream that lags may answer.
func (p *publisher) lasts(stream string, subjects []string, got func(found), done func(error)) {
	if len(subjects) == 0 {
		done(nil)
		return
	}
	body, err := json.Marshal(map[string]any{"multi_last": subjects, "max_bytes": lastsMaxBytes})
	if err != nil {
		done(err)
		return
	}
	a := &lastsAnswer{got: got, done: done}
	p.mux.ask(&nats.Msg{Subject: p.api("DIRECT.GET." + stream), Data: body}, a.take)
}

// lastsAnswer is what has come of an answer.
type lastsAnswer struct {
	got  func(found)
	done func(error)
	last uint64 // sequence of the message before
	left uint64 // messages that the server has not sent yet
	some bool   // a message has come
}

// take takes the next message of an answer, and returns whether more are due.
func (a *lastsAnswer) take(m *nats.Msg, err error) (more bool) {
	if err == nil {
		more, err = a.next(m)
	}
	if !more {
		a.done(classify(err))
	}
	return more
}

// next passes a stored message on. Each names the one before and how many follow, so a
// message that got lost is missed.
func (a *lastsAnswer) next(m *nats.Msg) (more bool, err error) {
	if !whole(m) {
		return false, fmt.Errorf("%w: there is more in a message's headers than can be read", errNotAll)
	}
	if m.Header[jetstream.StreamHeader] == nil {
		return false, a.end(m.Header)
	}
	f, err := readFound(m.Header)
	previous, left := number(m.Header, jetstream.LastSequenceHeader), number(m.Header, numPendingHeader)
	if err != nil || previous != a.last || a.some && left+1 != a.left {
		return false, fmt.Errorf("%w: a message is missing, or is another one (%w)", errNotAll, err)
	}
	a.last, a.left, a.some = f.sequence, left, true
	a.got(f)
	return true, nil
}

const (
	numPendingHeader = "Nats-Num-Pending"
	statusEnd        = "204"
	statusNone       = "404"
	descriptionNone  = "No Results" // and another one where a message could not be read
)

// end reads the server's last word.
func (a *lastsAnswer) end(h nats.Header) error {
	status, description := h.Get("Status"), h.Get("Description")
	switch {
	case !a.some && status == statusNone && description == descriptionNone && len(h) == 2:
		return nil
	case a.some && status == statusEnd && a.left == 0 && number(h, numPendingHeader) == 0 && number(h, jetstream.LastSequenceHeader) == a.last && len(h) == 5:
		return nil
	}
	return fmt.Errorf("%w: %s %s, %d left", errNotAll, status, description, a.left)
}

// readFound reads the headers of a stored message that the server added. They stand
// behind all others, which may have the same names.
func readFound(h nats.Header) (f found, err error) {
	f = found{subject: lastValue(h, jetstream.SubjectHeader), sequence: number(h, jetstream.SequenceHeader), messageID: h.Get(jetstream.MsgIDHeader)}
	f.time, err = time.Parse(time.RFC3339Nano, lastValue(h, "Nats-Time-Stamp"))
	return f, err
}

func lastValue(h nats.Header, name string) string {
	values := h[name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// number is a header's last value; what is no number is one that nobody sends.
func number(h nats.Header, name string) uint64 {
	n, err := strconv.ParseUint(lastValue(h, name), 10, 64)
	if err != nil {
		return 1<<64 - 1
	}
	return n
}

// headerLines is the most lines of headers that are believed. A client can make each
// two bytes shorter on the wire than it is counted here, and what the server adds has
// more than 130.
const headerLines = 60

// whole reports whether the headers of a message are all that came before its body. A
// client may end its own early, by an empty line with more lines behind it. Then what
// the server adds is not read, and its message can look like the end of an answer or
// like another message, but for its size.
func whole(m *nats.Msg) bool {
	size, lines := headerFrame, 0
	stored := m.Header[jetstream.StreamHeader] != nil
	for name, values := range m.Header {
		lines += len(values)
		for _, value := range values {
			if size += len(value) + len(" "); stored || name != "Status" && name != "Description" { // the server has these two in its first line
				size += len(name) + len(":\r\n")
			}
		}
	}
	return lines > 0 && lines <= headerLines && size == m.Size()-len(m.Subject)-len(m.Reply)-len(m.Data)
}
