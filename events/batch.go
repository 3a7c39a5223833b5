package events

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// batchTried is the value of HeaderBatch once a batch has not answered.
const batchTried = "tried"

// BatchState is what HeaderBatch says of a request that waits as a schedule.
type BatchState struct {
	Group string    // in which it waits for a batch, or for the batch's answer; "" if it does not
	Since time.Time // it does so, in whole seconds
	Tried bool      // a batch did not answer it, so it goes on in the ordinary way
}

// String is the value of HeaderBatch. That of the zero state is empty.
func (s BatchState) String() string {
	switch {
	case s.Tried:
		return batchTried
	case s.Group == "":
		return ""
	}
	return fmt.Sprintf("%s %d", s.Group, s.Since.Unix())
}

// Batch reads HeaderBatch. It returns the zero state if the header is absent or
// holds none.
func Batch(h Header) BatchState {
	value := first(h, HeaderBatch)
	if value == batchTried {
		return BatchState{Tried: true}
	}
	group, since, ok := strings.Cut(value, " ")
	seconds, err := strconv.ParseInt(since, 10, 64)
	if !ok || err != nil || !isToken(group) {
		return BatchState{}
	}
	return BatchState{Group: group, Since: time.Unix(seconds, 0).UTC()}
}

// Tick reads HeaderTick: what is to be looked after; "" if it is absent.
func Tick(h Header) string { return first(h, HeaderTick) }
