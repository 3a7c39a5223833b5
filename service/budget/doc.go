// Package budget keeps what is spent within budgets that all workers share: a price is
// reserved before a call and settled after it, and what is reserved and spent never
// passes the budget, whichever of the workers dies.
//
//	Reserve X   total +X, then held +X   total <= limit: the call is made; else both go back
//	Settle Y    held -X, then total -(X-Y)
//	death       held -H, told to one of all workers: book (H is spent) or release (total -H)
//
// For each tenant, and for all together, and for each period there are counters
// in millionths of a USD: one total, which is what is spent and reserved, and one held for
// each process, which is what is reserved by it. In these orders a process that dies in
// between leaves too much reserved, never too little. One increment follows the other
// only when the other is known to be counted: sent together, the second could be counted
// without the first while the server changes its leader.
//
// A file a concern:
//
//	ledger.go       Ledger, Reserve, Close: what upstream uses
//	bounds.go       which bounds a tenant has, and the names of their periods
//	account.go      the counters of one bound, and those who wait for it
//	admit.go        who of those who wait is admitted
//	settle.go       what goes back, and a process whose own sign of life lapsed
//	increments.go   an increment, repeated until it is known
//	refusal.go      why there is no room: calls under way, or the budget is spent
//	hold.go         for how long none of a tenant's requests should be taken
//	watch.go        the dead, the warnings and the numbers
//	usage.go        what the counters of a bound say
//
// # An increment whose answer was lost
//
// Each has an id, and is repeated under it until it is known to be counted. The server
// remembers ids for IDsKept. What is in doubt for longer is decided for the safe side:
// what raises a total or lowers a held is sent again, the opposite is left out.
//
// # A process that seems dead
//
// It is dead for the others when its sign of life has expired, and they take what it
// held. If it lives after all, it sees that its sign lapsed: it takes a new name, and
// moves what it holds to that. Where another one was faster, what its calls cost is added
// to the total when they end.
package budget
