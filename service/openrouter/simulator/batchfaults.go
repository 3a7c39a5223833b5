package simulator

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
)

// scope is what of batches a fault concerns.
type scope int

const (
	notBatches  scope = iota // the run of an item, as a chat call
	wholeBatch               // a request about a batch, or how the batch ends
	itemChecked              // the validation of an item, or a chat call
	itemInBatch              // the run of an item alone
)

// stage is what an exchange stands for.
type stage int

const (
	stageCall  stage = iota // a chat call
	stageBatch              // a request about a batch
	stageCheck              // the validation of an item of a batch
	stageRun                // the run of an item
)

func cutBy() param {
	return param{name: "how", value: "reset", oneOf: "reset|close", about: "reset (TCP) or close"}
}

func onWhich() param {
	return param{name: "on", value: "submit", oneOf: "submit|get|list|delete", about: "submit, get, list or delete"}
}

func itemsRun() param {
	return param{name: "ran", value: "0", form: whole, about: "how many items had been run, and are billed"}
}

// batchFaults are what goes wrong with whole batches. A marker in the prompt of any item asks for them.
func batchFaults() []kind {
	return []kind{
		{
			name: "batch_refused", about: "an error answer to a request about batches; nothing is stored", batch: wholeBatch,
			params: []param{
				onWhich(),
				{name: "code", value: "503", form: whole, about: "the status"},
				retryAfter(""),
			},
		},
		{
			name: "batch_lost", about: "a batch is stored, but its 202 is lost: the connection is cut", batch: wholeBatch,
			params: []param{
				cutBy(),
				{name: "code", form: whole, about: "an error status in place of the cut, such as 502"},
			},
		},
		{
			name: "batch_hang", about: "no answer to a request about batches; nothing is stored", batch: wholeBatch,
			params: []param{onWhich()},
		},
		{
			name: "batch_cut", about: "the results of a batch break off", batch: wholeBatch,
			params: []param{{name: "after", value: "1", form: whole, about: "how many results arrive before"}, cutBy()},
		},
		{name: "batch_failed", about: "the batch fails, and no item is to blame", batch: wholeBatch},
		{name: "batch_expired", about: "the batch expires", batch: wholeBatch, params: []param{itemsRun()}},
		{name: "batch_cancelled", about: "the batch is cancelled", batch: wholeBatch, params: []param{itemsRun()}},
		{name: "batch_stuck", about: "the batch stays in_progress until it expires", batch: wholeBatch},
	}
}

// batchItemFaults are what goes wrong with one item.
func batchItemFaults() []kind {
	return []kind{
		{
			name: "batch_invalid", about: "the item is invalid, so that the whole batch fails; a 400 for a chat call",
			answer: refused{400, "invalid_request", "messages: Invalid input"}.fault(nil),
			batch:  itemChecked,
		},
		{
			name: "batch_error", about: "the item has an error and no response", batch: itemInBatch,
			params: []param{codeOrWord()},
		},
		{name: "batch_dropped", about: "the item has no result at all", batch: itemInBatch},
	}
}

// concerns reports whether a fault is one of those that can be played for what the exchange stands for.
func (s *Simulator) concerns(f Fault, e *exchange) bool {
	switch s.kinds[f.Name].batch {
	case wholeBatch:
		return slices.Contains(e.batch, f.Name+" "+place(f))
	case itemChecked:
		return e.stage == stageCall || e.stage == stageCheck
	case itemInBatch:
		return e.stage == stageRun
	case notBatches:
	}
	return e.stage == stageCall || e.stage == stageRun
}

// place is the request at which a fault of batches is played.
func place(f Fault) string {
	if f.Name == "batch_cut" {
		return "get"
	}
	return cmp.Or(f.Params["on"], "submit")
}

// batchFault returns the first of the named faults that the server, or a marker in one of the items, asks for.
func (s *Simulator) batchFault(key, model, on string, marked []*exchange, names ...string) (Fault, bool) {
	for i := range names {
		names[i] += " " + on
	}
	e := &exchange{sim: s, stage: stageBatch, call: &Call{Key: key, Model: model}, batch: names}
	s.control.mu.Lock()
	f, asked := s.pick(s.control.faults, s.control.hits, e)
	s.control.mu.Unlock()
	for _, item := range marked {
		if asked {
			break
		}
		e.call.Prompt, e.markers = item.call.Prompt, item.markers
		f, asked = s.markerFault(e)
	}
	return f, asked
}

// trouble plays the fault, if any, that keeps a request about batches from being served.
func (s *Simulator) trouble(w http.ResponseWriter, r *http.Request, about *batch, on string) bool {
	f, asked := s.batchFault(about.key, about.model, on, about.marked, "batch_refused", "batch_hang")
	if !asked {
		return false
	}
	s.playBatch(w, r, f)
	return true
}

// playBatch answers as a fault says: with an error, with a cut connection, or not at all.
func (s *Simulator) playBatch(w http.ResponseWriter, r *http.Request, f Fault) {
	e, a := &exchange{sim: s, writer: w, request: r}, f.arguments(s.kinds[f.Name])
	if err := f.check(); err != nil {
		sendError(w, http.StatusBadRequest, "simulator: "+oneLine(err))
		return
	}
	if f.Name == "batch_hang" {
		_ = s.wait(r, forever) // it ends when nobody waits any more
		e.sever(false)
		return
	}
	if code := a.number("code"); code > 0 {
		code = min(max(code, 300), 999)
		sendReply(w, refused{code, errorType(code), http.StatusText(code)}.reply(nil).retryAfter(a))
		return
	}
	e.sever(a["how"] == "reset")
}

// sendReply sends a reply that has neither waits nor an end of its own.
func sendReply(w http.ResponseWriter, r reply) {
	maps.Copy(w.Header(), r.header)
	w.WriteHeader(r.status)
	for _, st := range r.steps {
		_, _ = w.Write([]byte(st.bytes()))
	}
}
