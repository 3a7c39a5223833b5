// Package limits keeps limits of so many calls, or tokens, a minute that hold for all
// replicas together. They count in counters that they share; the package knows no more
// of these than how to add to one ([Counter]).
//
//	Acquire ──▶ line of a limiter ──▶ one increment under way, for all who wait
//	several      first come,            gemini.limits.<what>.<name>.<unit>.<window>
//	limits       first served
//
// # Windows
//
// Time is cut into windows of half a second, by the server's clock, and each window of a
// limit has a counter of its own. A sliding minute touches 121 windows at most. A limit
// of R a minute is spread over 122 of them, so that each window admits a whole number and
// any 122 windows in a row admit R: of the minute's 120 windows 98.4 % of R can be used,
// and R = 1 works as well as R = 1,000,000. The window that is not needed is for what a
// clock and a network add: an answer that comes one window late still admits, and clocks
// that are half a second apart, whose difference is not known, still keep the limit.
//
// A replica adds what its line wants to the counter of the window, and is admitted as far
// as the counter was below the window's quota. At the quota the window is closed for it
// until the next one begins. Nothing is held by anybody: what a killed replica had was
// one increment of one window.
//
// # Tokens
//
// How many tokens a call takes is known when it has ended: it is admitted with an
// estimate, and [Limiter.Settle] makes up the difference. A call may be larger than the
// quota of a window. It is admitted where anything is left, and what it lacks is taken
// from the windows that follow, before anybody else is admitted there. So over any minute
// what is admitted stays within the limit and the largest call of each replica.
//
// What a call did not use goes back to those of its windows that are still to come. Those
// that are over cannot have it, and to give it to this one is more than the limit: calls of
// the last minute end now and leave their tokens to others that use them all. So a window
// gets no more of that than it admits, or the replica's share of it where others want the
// limit as well, and the rest is lost. Where calls take far more than they use, a minute
// may have twice the limit, and the largest call of each replica; else what they use stays
// below it.
//
// # Several limits
//
// [Ask.Acquire] takes the limit first whose turn comes last. A permit is good for its own
// window and the next one: what would have to be held for longer, because another limit
// keeps the call waiting, is given back to the line, and is lost if its window is over.
//
// # Without an answer
//
// An increment of which no answer comes counts as if it had taken all. When that has
// happened twice in a row, the replica goes on with the share that it had in the minute
// before, and looks every second whether the counters are back. Then it stays within
// that share for three more seconds, because others may not have noticed yet.
package limits
