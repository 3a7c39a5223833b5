// Package batch sends requests that may wait to OpenRouter's Batch API, at about half
// the price, and has its results answer them. It knows neither NATS nor HTTP nor how a
// result is stored: interfaces.go says what it needs of those who do.
//
//	request ──▶ schedule far away + mark in its group + tick of the group
//	                                        │
//	            tick of a group ──▶ collect ┴▶ record of a job (its requests) + tick of the job
//	                                        │
//	            tick of a job ────▶ submit ─┴▶ watch ─┬─▶ completed: each result answers its request
//	                                  ▲               ├─▶ failed: two smaller jobs
//	                                  └─ look for a   └─▶ expired, refused, lost: the ordinary way
//	                                     lost answer
//
// A group is what one batch may hold together: one model, one choice of providers, one
// response format. A mark says that a request waits in a group, and the group's head up
// to which mark it was collected. A job is the record of a batch, from before it is
// submitted until after it has ended. A tick is a scheduled message that has a worker
// look after a group or a job.
//
// Nothing is kept in the process. What a job is about to do is in its record before it
// is done, and the record is replaced by compare-and-set, so that a worker that dies at
// any point leaves a tick that another one takes up:
//
//   - The requests behind a group's head become the job that is called after that head.
//     Two collectors make the same one. Then the head moves behind its last mark.
//   - A job says that it is being submitted before it is. If nobody knows whether it was,
//     OpenRouter is asked for batches that no job has, twice, before it is
//     submitted again.
//   - Each item's custom id names its job. A batch that was taken for the wrong job's goes
//     to that one.
//   - A request is answered by compare-and-set, like any other. What was answered,
//     cancelled or has expired meanwhile is left alone.
//
// runner.go says when groups and jobs are looked after, and revive.go makes up for ticks
// that were lost. collect.go makes jobs, submit.go
// and lost.go submit them, watch.go and split.go deal with what becomes of them. job.go
// has the record.
package batch
