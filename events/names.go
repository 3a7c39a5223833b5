package events

import (
	"errors"
	"fmt"
	"strings"
)

// maxSubject bounds every configured subject. A subject of some thousand
// characters makes NATS clients close their connection; this leaves room for
// what is appended.
const maxSubject = 128

// Validate checks that the names are safe in NATS and do not overlap: two
// streams cannot share a subject. The error joins one error for each problem;
// each begins with the name of the setting.
func (n Names) Validate() error {
	var errs []error
	settings := []struct{ name, value string }{
		{"REQUEST_QUEUE", n.RequestQueue},
		{"RESPONSE_QUEUE", n.ResponseQueue},
		{"SUBJECT_PREFIX", n.SubjectPrefix},
	}
	for _, s := range settings {
		if err := checkSubject(s.value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", s.name, quote(s.value), err))
		}
	}
	if !isToken(n.StreamPrefix) || len(n.StreamPrefix) > maxSubject {
		errs = append(errs, fmt.Errorf("STREAM_PREFIX: %s: %w", quote(n.StreamPrefix),
			errors.New("give 1 to 128 characters of A-Z, a-z, 0-9, _ and -")))
	}
	if len(errs) == 0 {
		errs = n.overlaps()
	}
	return errors.Join(errs...)
}

// overlaps checks only names that are valid one by one.
func (n Names) overlaps() []error {
	var errs []error
	if within(n.RequestQueue, n.ResponseQueue) {
		errs = append(errs, fmt.Errorf("REQUEST_QUEUE: %s is RESPONSE_QUEUE (%s) or lies below it, where results are stored; "+
			"name another subject", quote(n.RequestQueue), quote(n.ResponseQueue)))
	}
	for _, word := range ownSubjects() {
		own := n.own(word)
		if within(n.RequestQueue, own) {
			errs = append(errs, fmt.Errorf("REQUEST_QUEUE: %s is the service's own subject %s or lies below it; "+
				"name another subject", quote(n.RequestQueue), quote(own)))
		}
		if within(n.ResponseQueue, own) || within(own, n.ResponseQueue) {
			errs = append(errs, fmt.Errorf("RESPONSE_QUEUE: %s overlaps the service's own subject %s; "+
				"name another subject", quote(n.ResponseQueue), quote(own)))
		}
	}
	return errs
}

// within reports whether subject equals root or lies below it.
func within(subject, root string) bool {
	return subject == root || strings.HasPrefix(subject, root+".")
}

func checkSubject(subject string) error {
	if len(subject) > maxSubject {
		return fmt.Errorf("is %d characters long; give at most %d", len(subject), maxSubject)
	}
	for token := range strings.SplitSeq(subject, ".") {
		if !isToken(token) {
			return errors.New("is not a subject; give words of A-Z, a-z, 0-9, _ and -, with single dots between them")
		}
	}
	return nil
}

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && c != '-' {
			return false
		}
	}
	return s != ""
}
