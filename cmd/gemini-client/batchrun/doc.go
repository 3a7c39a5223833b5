// Package batchrun runs a file of prompts through the queue: a request a line in, a result a
// line out. It is what `gemini-client batch run` does.
//
// A line's request id is made of its number and its content, so the same run again asks for
// nothing twice: what is in the output is skipped, and what was submitted before is answered
// with its stored result. Memory does not grow with the file but for 16 bytes a line that
// is done.
package batchrun
