package batch

import (
	"cmp"
	"time"

	"gemini-client/service/bus"
)

// RecordsOfJobs is the kind of the records that [Describe] reads.
const RecordsOfJobs = jobs

// Description is what people on call may know of a job.
type Description struct {
	ID       string    `json:"id"`    // of the batch at OpenRouter; empty while it has none
	Job      string    `json:"job"`   // ours, as the log names it
	Model    string    `json:"model"` // empty before it is submitted
	Requests int       `json:"requests"`
	State    string    `json:"state"`      // submitting: it is to be sent; submitted: OpenRouter has it
	Since    time.Time `json:"created_at"` // when its requests were collected
}

// Describe reads the record of a job; false if the job has ended.
func Describe(r bus.Record) (Description, bool, error) {
	j, err := decode(r)
	if err != nil || j.State == ended {
		return Description{}, false, err
	}
	return Description{ID: j.BatchID, Job: cmp.Or(j.ID, r.Name), Model: j.Model, Requests: len(j.Items), State: string(j.State), Since: j.Created}, true, nil
}
