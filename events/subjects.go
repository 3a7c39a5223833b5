package events

import (
	"strconv"
	"strings"
)

// Names derives every subject and stream name of the service. Its fields are
// the settings of the same names; Validate checks them.
type Names struct {
	// RequestQueue is the subject requests arrive on (REQUEST_QUEUE).
	RequestQueue string
	// ResponseQueue is the default callback, and the root of the results stream (RESPONSE_QUEUE).
	ResponseQueue string
	// SubjectPrefix is the root of the service's own subjects (SUBJECT_PREFIX).
	SubjectPrefix string
	// StreamPrefix begins every stream name (STREAM_PREFIX).
	StreamPrefix string

	tenant string // whose cancellations and deltas these are; see Of
}

// DefaultNames are the names of a service whose settings name no others.
func DefaultNames() Names {
	return Names{RequestQueue: "gemini.requests", ResponseQueue: "gemini.responses", SubjectPrefix: "gemini", StreamPrefix: "GEMINI"}
}

// Words that follow the prefix in the service's own subjects.
const (
	retries     = "retries"
	later       = "later"
	claims      = "claims"
	instances   = "instances"
	deadletters = "deadletters"
	cancels     = "cancels"
	deltas      = "deltas"
	status      = "status"
	batch       = "batch"
	limits      = "limits"
	budgets     = "budgets"
)

// ownSubjects lists the words no queue may be put under.
func ownSubjects() []string {
	return []string{retries, later, claims, deadletters, cancels, deltas, status, batch, limits, budgets}
}

// Retries is the subject on which rescheduled requests are delivered.
func (n Names) Retries() string { return n.own(retries) }

// LaterAll is the filter for every scheduled retry.
func (n Names) LaterAll() string { return n.own(later, ">") }

// Later is the subject of the one scheduled retry of a request.
func (n Names) Later(callback, id string) string { return n.own(later, callback, CanonicalID(id)) }

// ClaimsAll is the filter for every claim.
func (n Names) ClaimsAll() string { return n.own(claims, ">") }

// Claim is the subject of the claim on a request: who is calling for it.
func (n Names) Claim(callback, id string) string { return n.own(claims, callback, CanonicalID(id)) }

// Instance is the subject of a running process's heartbeat.
func (n Names) Instance(name string) string { return n.own(claims, instances, name) }

// DeadlettersAll is the filter for every dead letter.
func (n Names) DeadlettersAll() string { return n.own(deadletters, ">") }

// Deadletter is the subject of a dead letter. An empty id, that of a
// message without a usable one, becomes "none".
func (n Names) Deadletter(code Code, id string) string {
	if id == "" {
		id = "none"
	}
	return n.own(deadletters, string(code), CanonicalID(id))
}

// Deltas is the subject on which a request's answer can be watched live.
func (n Names) Deltas(id string) string { return n.ofTenant(deltas, CanonicalID(id)) }

// CancelsAll is the filter for every cancellation.
func (n Names) CancelsAll() string { return n.own(cancels, ">") }

// Cancels are the subjects of all cancellations: of requests whose tenants are not
// isolated, and of the others.
func (n Names) Cancels() (plain, isolated string) {
	return n.own(cancels, "*"), n.own(cancels, "*", "*")
}

// Cancel is the subject on which a request is cancelled.
func (n Names) Cancel(id string) string { return n.ofTenant(cancels, CanonicalID(id)) }

// ParseCancel returns which request a subject cancels that was made by Cancel: its id in
// lower case, and its tenant if that is isolated, else "". ok is false if there is no valid
// one: any backend may publish there.
func (n Names) ParseCancel(subject string) (tenant, id string, ok bool) {
	id, ok = strings.CutPrefix(subject, n.own(cancels, ""))
	if before, last, two := cutLast(id); two {
		tenant, id, ok = before, last, ok && ValidTenant(before)
	}
	if !ok || !ValidID(id) {
		return "", "", false
	}
	return tenant, CanonicalID(id), true
}

// BatchAll is the filter for everything that is kept of batches.
func (n Names) BatchAll() string { return n.own(batch, ">") }

// BatchItems is the filter for the requests that wait in a group for their batch.
func (n Names) BatchItems(group string) string { return n.own(batch, "items", group, ">") }

// BatchItem is the subject that says that a request waits in a group, after so many
// retries.
func (n Names) BatchItem(group string, retries int, callback, id string) string {
	return n.own(batch, "items", group, strconv.Itoa(retries), callback, CanonicalID(id))
}

// BatchRecord is the subject of a record: of a batch, or of how far a group has been
// collected.
func (n Names) BatchRecord(kind, name string) string { return n.own(batch, kind, name) }

// BatchTick is the callback in the place of a request's, under which a tick waits as
// a schedule and is claimed. The name behind it is no UUID, so no request has it.
func (n Names) BatchTick() string { return batch }

// Status is the subject on which every running worker replies with its state.
func (n Names) Status() string { return n.own(status) }

// ResponsesAll is the filter for every result, on every callback.
func (n Names) ResponsesAll() string { return n.ResponseQueue + ".>" }

// RequestsStream is the stream of the requests.
func (n Names) RequestsStream() string { return n.StreamPrefix + "_REQUESTS" }

// RetriesStream is the stream of the retries and their schedules.
func (n Names) RetriesStream() string { return n.StreamPrefix + "_RETRIES" }

// ResponsesStream is the stream of the results.
func (n Names) ResponsesStream() string { return n.StreamPrefix + "_RESPONSES" }

// ClaimsStream is the stream of the claims.
func (n Names) ClaimsStream() string { return n.StreamPrefix + "_CLAIMS" }

// DeadlettersStream is the stream of the dead letters.
func (n Names) DeadlettersStream() string { return n.StreamPrefix + "_DEADLETTERS" }

// CancelsStream is the stream of the cancellations.
func (n Names) CancelsStream() string { return n.StreamPrefix + "_CANCELS" }

// BatchStream is the stream of what is kept of batches.
func (n Names) BatchStream() string { return n.StreamPrefix + "_BATCH" }

// BodiesBucket is the object store of bodies that are too large for a message.
func (n Names) BodiesBucket() string { return n.StreamPrefix + "_BODIES" }

// BodiesStream is the stream of that object store (ADR-20).
func (n Names) BodiesStream() string { return "OBJ_" + n.BodiesBucket() }

// BodiesAll are the subjects of that object store: of the objects' chunks, and of
// the information about each.
func (n Names) BodiesAll() []string {
	return []string{"$O." + n.BodiesBucket() + ".C.>", "$O." + n.BodiesBucket() + ".M.>"}
}

// ofTenant is own, with the tenant behind the word where the names are an isolated one's.
func (n Names) ofTenant(word, id string) string {
	if n.tenant == "" {
		return n.own(word, id)
	}
	return n.own(word, n.tenant, id)
}

func (n Names) own(tokens ...string) string {
	return n.SubjectPrefix + "." + strings.Join(tokens, ".")
}
