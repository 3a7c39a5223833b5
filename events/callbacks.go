package events

import (
	"errors"
	"fmt"
	"strings"
)

// The two words that follow the callback in the subject of a result.
const (
	VerdictCompleted = "completed"
	VerdictFailed    = "failed"
)

// Completed is the subject of a request's completed result.
func Completed(callback, id string) string { return resultSubject(callback, VerdictCompleted, id) }

// Failed is the subject of a request's failed result.
func Failed(callback, id string) string { return resultSubject(callback, VerdictFailed, id) }

// AnyResult is the filter for a request's result, completed or failed.
func AnyResult(callback, id string) string { return resultSubject(callback, "*", id) }

func resultSubject(callback, verdict, id string) string {
	return callback + "." + verdict + "." + CanonicalID(id)
}

// ParseResult parses the subject of a result into the callback it was sent to,
// VerdictCompleted or VerdictFailed, and the request id in lower case. ok is
// false if the subject is not one of Completed or Failed.
func ParseResult(subject string) (callback, verdict, id string, ok bool) {
	rest, id, found := cutLast(subject)
	if !found || !ValidID(id) {
		return "", "", "", false
	}
	callback, verdict, found = cutLast(rest)
	if !found || callback == "" || verdict != VerdictCompleted && verdict != VerdictFailed {
		return "", "", "", false
	}
	return callback, verdict, CanonicalID(id), true
}

func cutLast(subject string) (before, last string, found bool) {
	dot := strings.LastIndexByte(subject, '.')
	if dot < 0 {
		return "", subject, false
	}
	return subject[:dot], subject[dot+1:], true
}

// CheckCallbacks checks the entries of CALLBACK_ALLOW, the callbacks a
// requester may name. Each must be a valid subject, equal to responseQueue or
// below it (elsewhere the results stream would not store the result), and not
// below another entry, whose readers would get its results as well. So when
// responseQueue itself is an entry it is the only one. The error joins one
// error for each problem; each names CALLBACK_ALLOW and the entry.
func CheckCallbacks(responseQueue string, allow []string) error {
	var errs []error
	if len(allow) == 0 {
		errs = append(errs, errors.New("CALLBACK_ALLOW: has no entry; name at least RESPONSE_QUEUE"))
	}
	for i, entry := range allow {
		if err := checkSubject(entry); err != nil {
			errs = append(errs, fmt.Errorf("CALLBACK_ALLOW: entry %s: %w", quote(entry), err))
			continue
		}
		if !within(entry, responseQueue) {
			errs = append(errs, fmt.Errorf("CALLBACK_ALLOW: entry %s lies outside the results stream; "+
				"name RESPONSE_QUEUE (%s) or a subject below it", quote(entry), quote(responseQueue)))
		}
		if err := checkAgainst(entry, i, responseQueue, allow); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// checkAgainst reports the first other entry that the entry at place i repeats
// or lies below.
func checkAgainst(entry string, i int, responseQueue string, allow []string) error {
	for j, other := range allow {
		switch {
		case other == entry && j < i:
			return fmt.Errorf("CALLBACK_ALLOW: entry %s is there twice; name it once", quote(entry))
		case other == entry || !within(entry, other) || !within(other, responseQueue):
			// They do not overlap, or other is a problem of its own.
		case other == responseQueue:
			return fmt.Errorf("CALLBACK_ALLOW: entry %s lies below entry %s, which is RESPONSE_QUEUE itself: "+
				"with it in the list no other entry is possible; remove one of the two", quote(entry), quote(other))
		default:
			return fmt.Errorf("CALLBACK_ALLOW: entry %s lies below entry %s, whose readers would get its results too; "+
				"make them siblings", quote(entry), quote(other))
		}
	}
	return nil
}
