// Package jsonscan reads JSON where it lies: it checks the syntax, and walks over objects and lists without building anything of them.
//
// It exists because json.Unmarshal into a struct matches keys in any case, silently takes the last of repeated keys, and copies: a check
// must see what the next reader sees, and a body of millions of small values must cost no more memory than its bytes.
//
//	Check     whether a value is JSON, and where it ends
//	Members   the keys and values of an object
//	Elements  the values of a list; Spans: where they lie
//	KindOf    what a value is
//	Text      what a string says
//
// Only Check looks at the syntax. The others are for JSON that Check or json.Valid has accepted. On anything else they end early, and what they
// yield means nothing.
package jsonscan
