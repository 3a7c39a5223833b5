package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// publisher stores messages in JetStream. It is safe for concurrent use.
type publisher struct {
	mux    *mux
	api    func(question string) string
	groups []*group
}

// newPublisher returns that of a connection, and ends with it.
func newPublisher(conn *Conn) (*publisher, error) {
	return &publisher{mux: conn.mux, api: conn.api}, conn.mux.open(conn.Conn)
}

// group has the messages of a stream that wait at the same time stored together. It is for
// streams whose subjects end with the id of a request, before anything is published.
func (p *publisher) group(stream, subjects string) {
	p.groups = append(p.groups, &group{p: p, stream: stream, subjects: strings.TrimSuffix(subjects, ">")})
}

// allow notes whether a stream can store messages together. One with further copies
// writes those of many publishes at once by itself.
func (p *publisher) allow(stream jetstream.StreamConfig) {
	for _, g := range p.groups {
		if g.stream == stream.Name {
			g.allow(stream.AllowAtomicPublish && stream.Replicas <= 1)
		}
	}
}

// post stores messages that have all their headers, and calls done of each once, with
// the sequence that it has or an error: before post returns if it cannot be sent, else
// on another goroutine, which all answers share and done must not hold up. The messages
// are the publisher's until then. Those of one stream can be stored together. Errors:
// those of classify; ErrNoAnswer, ErrDenied, those of the connection, after which it may
// be stored or not.
func (p *publisher) post(messages ...posted) {
	var group *group
	grouped := messages[:0]
	for _, w := range messages {
		g := p.groupOf(w.m)
		if g == nil {
			p.send(w.m, nil, w.done)
			continue
		}
		if group != nil && group != g {
			group.add(grouped...)
			grouped = nil
		}
		group, grouped = g, append(grouped, w)
	}
	if group != nil {
		group.add(grouped...)
	}
}

// groupOf returns the group that stores a message; nil if there is none. One without a
// condition is stored by itself: it is a heartbeat, which must not wait for others.
func (p *publisher) groupOf(m *nats.Msg) *group {
	if m.Header[jetstream.ExpectedLastSubjSeqHeader] == nil || len(m.Data) > groupMessage {
		return nil
	}
	for _, g := range p.groups {
		if strings.HasPrefix(m.Subject, g.subjects) {
			return g
		}
	}
	return nil
}

// send stores one message by itself.
func (p *publisher) send(m *nats.Msg, g *group, done func(sequence uint64, err error)) {
	p.mux.ask(m, func(reply *nats.Msg, err error) bool {
		var a ack
		if err == nil {
			a, err = readAck(reply.Data)
		}
		if g != nil {
			g.answered(1, err)
		}
		done(a.sequence, classify(err))
		return false
	})
}

// maybeStored reports whether nobody knows if a message was stored.
func maybeStored(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errorType(err) == "disconnected"
}

// store is post that waits. Errors: post's, ctx's cause.
func (p *publisher) store(ctx context.Context, m *nats.Msg) (uint64, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	type outcome struct {
		sequence uint64
		err      error
	}
	told := make(chan outcome, 1)
	p.post(posted{m: m, done: func(sequence uint64, err error) { told <- outcome{sequence, err} }, over: ctx.Done()})
	select {
	case o := <-told:
		return o.sequence, o.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// ack is the server's word that a message is stored, or several as a batch.
type ack struct {
	sequence uint64 // of the last one
	count    uint64 // messages of a batch
}

// readAck reads JetStream's answer to a publish. Errors: jetstream.ErrInvalidJSAck,
// *jetstream.APIError.
func readAck(data []byte) (ack, error) {
	if a, ok := scanAck(data); ok {
		return a, nil
	}
	return decodeAck(data)
}

// scanAck reads what the server writes when all is well, {"stream":"S","seq":7} with a
// domain in between or a note behind, and leaves everything else to decodeAck: it takes
// 30 ns, and encoding/json 1 µs.
func scanAck(data []byte) (a ack, ok bool) {
	rest, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	if !ok {
		return a, false
	}
	name, rest, ok := plainString(rest)
	if !ok || len(name) == 0 {
		return a, false
	}
	if domain, found := bytes.CutPrefix(rest, []byte(`,"domain":"`)); found {
		if _, rest, ok = plainString(domain); !ok {
			return a, false
		}
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"seq":`)); !ok {
		return a, false
	}
	if a.sequence, rest, ok = digits(rest); !ok {
		return a, false
	}
	if batch, found := bytes.CutPrefix(rest, []byte(`,"batch":"`)); found {
		if a.count, rest, ok = scanCount(batch); !ok {
			return a, false
		}
	}
	return a, string(rest) == `}` || string(rest) == `,"duplicate": true}`
}

// scanCount reads how many messages a batch has, behind its id.
func scanCount(data []byte) (n uint64, rest []byte, ok bool) {
	if _, rest, ok = plainString(data); !ok {
		return 0, nil, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"count":`)); !ok {
		return 0, nil, false
	}
	return digits(rest)
}

// plainString cuts a JSON string that stands for itself, up to and with its end.
func plainString(data []byte) (text, rest []byte, ok bool) {
	for i, c := range data {
		switch {
		case c == '"':
			return data[:i], data[i+1:], true
		case c == '\\', c < ' ', c > '~':
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// digits cuts a JSON number that surely is a uint64.
func digits(data []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for i < len(data) && data[i] >= '0' && data[i] <= '9' {
		n = n*10 + uint64(data[i]-'0')
		i++
	}
	return n, data[i:], i > 0 && i < 20 && (i == 1 || data[0] != '0')
}

func decodeAck(data []byte) (ack, error) {
	var answer struct {
		Error    *jetstream.APIError `json:"error"`
		Stream   string              `json:"stream"`
		Sequence uint64              `json:"seq"`
		Count    uint64              `json:"count"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return ack{}, jetstream.ErrInvalidJSAck
	}
	switch {
	case answer.Error != nil:
		return ack{}, answer.Error
	case answer.Stream == "":
		return ack{}, jetstream.ErrInvalidJSAck
	}
	return ack{sequence: answer.Sequence, count: answer.Count}, nil
}
