// Package tenant holds what is declared of those whose requests the service answers:
// how much of it they may use, and what they may spend. It is data; [Registry] is what a
// process knows of it now.
package tenant
