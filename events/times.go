package events

import (
	"strings"
	"time"
)

// timeLayout is how the service writes times: RFC 3339, UTC, microseconds. The
// width is fixed so that texts sort like times.
const timeLayout = "2006-01-02T15:04:05.000000Z"

func formatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

func appendTime(to []byte, t time.Time) []byte { return t.UTC().AppendFormat(to, timeLayout) }

// parseTime reads RFC 3339 and, because backends with naive clocks send it,
// the same without a zone, which means UTC. A space may stand for the T, and
// up to nine digits may follow the seconds.
func parseTime(s string) (time.Time, bool) {
	s = strings.ToUpper(s)
	if !hasTimeShape(s) {
		return time.Time{}, false
	}
	s = s[:10] + "T" + s[11:]
	for _, layout := range []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// hasTimeShape refuses what time.Parse lets pass: hours of one digit, a comma
// before the fraction, fractions of any length.
func hasTimeShape(s string) bool {
	const seconds = len("2006-01-02T15:04:05")
	if len(s) < seconds || s[10] != 'T' && s[10] != ' ' || s[13] != ':' || s[16] != ':' {
		return false
	}
	rest, fraction := strings.CutPrefix(s[seconds:], ".")
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	if fraction {
		return 1 <= digits && digits <= 9
	}
	return digits == 0 && !strings.HasPrefix(rest, ",")
}
