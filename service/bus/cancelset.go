package bus

import (
	"sync"
	"time"

	"github.com/google/uuid"

	"gemini-client/events"
)

const (
	// cancelSetMost bounds the set: some 4 MB. The stream keeps more (cancelsMax).
	cancelSetMost = 100_000
	// cancelYoung is for how long a cancellation counts though the stream may not have
	// it: it was heard before it was stored, or refused because the stream is full.
	cancelYoung = time.Minute
	// cancelsFresh is for how long the set counts after it was made sure of: a stream that
	// does not answer any more may be another server's by now.
	cancelsFresh = 5 * verifyEvery
)

// cancelSet is the keys of cancelled requests, in memory: their ids, mostly. It is safe for
// concurrent use.
type cancelSet struct {
	most  int
	epoch time.Time

	mu       sync.Mutex
	ids      map[uuid.UUID]uint32 // when each came: seconds since epoch
	dropped  time.Time            // since then the ids are not kept; zero if they are
	verified time.Time            // it had all that the stream had then; zero if that is not known
	on       feed                 // that brought what has come since
	unheard  uuid.UUID            // it has not brought this one, which the stream has
	created  time.Time            // of the stream of which it has all up to a sequence; zero if it has not
	through  uint64               // that sequence
}

func newCancelSet(most int) *cancelSet {
	return &cancelSet{most: most, epoch: time.Now(), ids: map[uuid.UUID]uint32{}}
}

// hear takes up an id that came live.
func (s *cancelSet) hear(key uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unheard == key {
		s.unheard = uuid.Nil
	}
	s.put(key)
}

// find takes up an id that the stream has, and returns whether it is news.
func (s *cancelSet) find(one cancellation, key uuid.UUID, on feed) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if news = s.put(key); news {
		s.miss(one, key, on)
	}
	return news
}

// put returns whether an id is news. Where there is no room for it, nothing is kept.
// The lock is held.
func (s *cancelSet) put(key uuid.UUID) (news bool) {
	_, there := s.ids[key]
	switch {
	case there || !s.dropped.IsZero():
	case len(s.ids) == s.most:
		s.forget()
	default:
		s.ids[key] = s.now()
	}
	return !there
}

// miss notes an id that should have been heard. It may still come. If it does not, this
// process cannot rely on what it hears: accounts that do not pass all cancellations on,
// for one. The lock is held.
func (s *cancelSet) miss(one cancellation, key uuid.UUID, on feed) {
	if !s.verified.IsZero() && s.on == on && (on.isolated || one.tenant == "") {
		s.unheard = key
	}
}

func (s *cancelSet) now() uint32 { return uint32(time.Since(s.epoch) / time.Second) } //nolint:gosec // not in 136 years

// drop is for more ids than there is room for.
func (s *cancelSet) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
}

// forget keeps nothing any more: part of it would say nothing. The lock is held.
func (s *cancelSet) forget() {
	s.ids, s.dropped, s.verified, s.created = map[uuid.UUID]uint32{}, time.Now(), time.Time{}, time.Time{}
}

// look returns when an id came, if it is there, and whether none can be missing that
// was stored before a feed brought what it has brought by now.
func (s *cancelSet) look(key uuid.UUID, on feed) (at time.Time, there, current bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seconds, there := s.ids[key]
	current = !s.verified.IsZero() && time.Since(s.verified) < cancelsFresh && s.on == on && s.unheard == uuid.Nil
	return s.epoch.Add(time.Duration(seconds) * time.Second), there, current
}

// verify notes that the set had everything when a feed took over, unless it was dropped
// meanwhile.
func (s *cancelSet) verify(at time.Time, on feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dropped.IsZero() {
		return
	}
	if s.on != on {
		s.unheard = uuid.Nil
	}
	s.verified, s.on = at, on
}

// reach notes that the set has all that a stream has stored up to a sequence, unless it
// was dropped meanwhile.
func (s *cancelSet) reach(created time.Time, through uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped.IsZero() {
		s.created, s.through = created, through
	}
}

// reached reports whether the set has all of some stream up to some sequence.
func (s *cancelSet) reached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.created.IsZero()
}

// lacks reports whether an id is not among all that the stream has.
func (s *cancelSet) lacks(key uuid.UUID, stream cancelsInfo) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.ids[key]
	return !there && !s.created.IsZero() && s.created.Equal(stream.Created) && stream.State.Last <= s.through
}

// keep has what comes kept again, before all that the stream has is read. It returns
// whether it was not.
func (s *cancelSet) keep() (dropped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dropped = !s.dropped.IsZero()
	s.dropped = time.Time{}
	return dropped
}

// replace takes up what the stream has, beside what has just come and may not be there
// yet. It returns what was not here; false if there is no room for all of it.
func (s *cancelSet) replace(n events.Names, subjects []string, on feed) (news []cancellation, room bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dropped.IsZero() {
		return nil, false
	}
	now := s.now()
	fresh := make(map[uuid.UUID]uint32, len(subjects))
	for _, subject := range subjects {
		one, key, ok := parseCancel(n, subject)
		if !ok {
			continue
		}
		at, there := s.ids[key]
		if !there {
			at, news = now, append(news, one)
			s.miss(one, key, on)
		}
		fresh[key] = at
	}
	for id, at := range s.ids {
		if time.Duration(now-at)*time.Second <= cancelYoung {
			fresh[id] = at
		}
	}
	s.ids = fresh
	if len(fresh) > s.most {
		s.forget()
		return nil, false
	}
	return news, true
}

// size is how many there are, and since when they are not kept.
func (s *cancelSet) size() (n int, dropped time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ids), s.dropped
}

// deaf reports whether the stream has an id that should have been heard and was not.
func (s *cancelSet) deaf() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unheard != uuid.Nil
}
