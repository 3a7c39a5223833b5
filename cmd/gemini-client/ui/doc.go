// Package ui is the page for people who would rather look: what the commands for
// people on call show, as HTML. It knows neither NATS nor the service: a [Source]
// reads and acts, with the rights of its connection.
//
//	Source ──▶ sampler ──▶ history ──▶ overview, and to open pages over SSE
//	   └─────▶ handlers ─▶ one request, failures, dead letters, replay
//
// Everything is rendered on the server. A small script swaps the part of a page
// that changes; without it a page is as complete, and stands still.
//
// # What keeps it safe
//
// It knows no users: whoever reaches the address may look and, unless it is
// read-only, replay. So it listens on loopback unless told otherwise, answers only
// to names that it was told (against DNS rebinding), refuses what another site's
// page sends (net/http's CrossOriginProtection), and allows no script or style but
// its own. Prompts and answers are shown only to who asks for them.
package ui
