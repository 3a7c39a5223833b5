package limits

import "time"

const (
	window  = 500 * time.Millisecond
	windows = 122 // over which a limit is spread: see the package's text
	horizon = 100 // how many windows ahead a debt is paid: counters are kept for two minutes
)

// windowAt is the number of the window that a time lies in.
func windowAt(t time.Time) int64 { return t.UnixNano() / int64(window) }

// startOf is when a window begins.
func startOf(k int64) time.Time { return time.Unix(0, k*int64(window)) }

// quota is how much a window admits. Any 122 windows in a row admit the rate.
func quota(rate, k int64) int64 { return (k+1)*rate/windows - k*rate/windows }

// reaches is the first window at whose end so much has been admitted from the beginning
// of another one on.
func reaches(rate, from, n int64) int64 {
	until := (from*rate/windows + n) * windows // in units of the rate
	return max(from, (until+rate-1)/rate-1)
}

// admitted is how much windows from one on admit before another one begins.
func admitted(rate, from, before int64) int64 {
	return before*rate/windows - from*rate/windows
}

// history is what was admitted in each of the last windows of a minute.
type history struct {
	amounts [windows]int64
	last    int64 // the window that was noted last
	first   int64 // the window that was noted first; 0: none
	sum     int64
}

// advance forgets what is older than a minute.
func (h *history) advance(k int64) {
	if h.first == 0 {
		h.first, h.last = k, k
	}
	for n := 0; h.last < k && n < windows; n++ {
		h.last++
		slot := &h.amounts[h.last%windows]
		h.sum -= *slot
		*slot = 0
	}
	h.last = max(h.last, k)
}

func (h *history) add(k, n int64) {
	h.advance(k)
	h.amounts[h.last%windows] += n
	h.sum += n
}

// perMinute is what was admitted in the last minute; what has lasted for less than that
// is taken to go on.
func (h *history) perMinute(k int64) int64 {
	if h.first == 0 {
		return 0
	}
	h.advance(k)
	return h.sum * windows / min(windows, k-h.first+1)
}
