package service

// Outcome is what became of a delivery.
type Outcome int

// The outcomes.
const (
	Completed   Outcome = iota // an answer is stored
	Failed                     // a failure is stored, or a dead letter of what has no usable id
	Rescheduled                // a schedule is stored that delivers it again
	Duplicate                  // another delivery answers it, or has
	Nacked                     // it is back in its queue: another delivery of it will have an outcome
)

// String is the outcome's name in metrics, spans and log lines.
func (o Outcome) String() string {
	return [...]string{"completed", "failed", "rescheduled", "duplicate", "nacked"}[o]
}
