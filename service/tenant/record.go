package tenant

import (
	"encoding/json"
	"fmt"
)

// Decode reads what is declared of a tenant, as it is stored. What the record leaves out
// is as in [Undeclared], and what a later version adds to it is ignored. The error names
// every problem.
func Decode(name string, record []byte) (Tenant, error) {
	t := Undeclared(name)
	if err := json.Unmarshal(record, &t); err != nil {
		return Undeclared(name), fmt.Errorf("it is not what is stored of a tenant: %w", err)
	}
	return t, t.Validate()
}
