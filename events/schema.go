package events

import (
	_ "embed"
	"slices"
)

//go:embed schema/request.schema.json
var requestSchema []byte

//go:embed schema/result.schema.json
var resultSchema []byte

// RequestSchema returns the JSON Schema (draft 2020-12) of a request body. It
// says all a schema can; what depends on the service's settings (callbacks,
// models, plugins, size) only Rules.Decode knows. The slice is the caller's own.
func RequestSchema() []byte { return slices.Clone(requestSchema) }

// ResultSchema returns the JSON Schema (draft 2020-12) of a result body. The
// slice is the caller's own.
func ResultSchema() []byte { return slices.Clone(resultSchema) }
