package simulator

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"time"
)

// reply is everything that will be sent for one call, as data: faults are made by changing it.
type reply struct {
	status int
	header http.Header
	before time.Duration // the wait before the status line
	steps  []step
	end    ending
}

// ending is how the connection is left.
type ending int

const (
	endProperly ending = iota // the body has its proper end
	endHanging                // nothing is sent until the client leaves
	endClosed                 // the connection is closed without the body's end
	endReset                  // the same with a TCP reset
)

// part is the kind of a step, by which a fault finds the place it changes.
type part int

const (
	partRaw part = iota
	partComment
	partDelta
	partFinish
	partUsage
	partDone
)

// step is one write to the client.
type step struct {
	part    part
	wait    time.Duration // before it
	chunk   *chunk        // sent as an event
	raw     string        // sent as it is, if there is no chunk
	endless bool          // repeated until the client leaves
}

// bytes returns what the step writes.
func (st step) bytes() string {
	if st.chunk == nil {
		return st.raw
	}
	return event(st.chunk)
}

// event encodes a value as one server-sent event.
func event(v any) string { return "data: " + encode(v) + "\n\n" }

// encode is json.Marshal without HTML escapes, for values that always have a JSON form.
func encode(v any) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return `{"error":{"code":500,"message":"simulator: no JSON form"}}`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// play sends the reply and settles the call: just before the last bytes, or when the client has gone.
func (e *exchange) play(r reply) {
	sent, err := e.send(r)
	switch {
	case errors.Is(err, errClosing):
		e.settle(OutcomeClosed, 0)
		e.sever(false)
	case err != nil:
		e.settle(OutcomeCancelled, r.remaining(sent))
	default:
		e.settle(e.outcome, 0)
		e.leave(r.end)
	}
}

// send returns how many steps were sent, and why not all of them.
func (e *exchange) send(r reply) (sent int, err error) {
	if err := e.head(r); err != nil {
		return 0, err
	}
	for i, st := range r.steps {
		if err := e.take(st, i == len(r.steps)-1 && r.end != endHanging); err != nil {
			return i, err
		}
	}
	if r.end == endHanging {
		err = e.sim.wait(e.request, forever)
	}
	return len(r.steps), err
}

// remaining is how long the generation would have taken from the step on.
func (r reply) remaining(from int) time.Duration {
	var rest time.Duration
	for _, st := range r.steps[from:] {
		if st.wait != forever {
			rest += st.wait
		}
	}
	return rest
}

// head sends status and headers, or nothing if the reply has none.
func (e *exchange) head(r reply) error {
	if err := e.sim.wait(e.request, r.before); err != nil || r.status == 0 {
		return err
	}
	maps.Copy(e.writer.Header(), r.header)
	e.sim.ledger.update(func(stats *Stats) {
		e.call.Status = r.status
		stats.Answering++
	})
	if len(r.steps) == 0 && r.end == endProperly {
		e.settle(e.outcome, 0)
	}
	e.writer.WriteHeader(r.status)
	return e.flush()
}

// take sends one step; the call is settled before the last.
func (e *exchange) take(st step, last bool) error {
	data := st.bytes()
	for {
		if err := e.sim.wait(e.request, st.wait); err != nil {
			return err
		}
		if last && !st.endless {
			e.settle(e.outcome, 0)
		}
		if _, err := io.WriteString(e.writer, data); err != nil {
			return errGone
		}
		if err := e.flush(); err != nil || !st.endless {
			return err
		}
	}
}

// flush sends what was written.
func (e *exchange) flush() error {
	if err := http.NewResponseController(e.writer).Flush(); err != nil {
		return errGone
	}
	return nil
}

// leave ends the connection as the reply says.
func (e *exchange) leave(end ending) {
	switch end {
	case endClosed:
		e.sever(false)
	case endReset:
		e.sever(true)
	case endProperly, endHanging:
	}
}

// sever closes the connection under the answer, with a TCP reset if hard.
func (e *exchange) sever(hard bool) {
	conn, _, err := http.NewResponseController(e.writer).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: the server resets the stream for it
	}
	if tcp, plain := conn.(*net.TCPConn); plain && hard {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
