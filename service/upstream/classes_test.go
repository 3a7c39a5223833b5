package upstream

import "testing"

// Each kind has a row in the table, and each row its texts.
func TestClassesAreComplete(t *testing.T) {
	t.Parallel()
	for k := kindUnknown; k <= kindInvalidRequest; k++ {
		if c, ok := classes[k]; !ok || c.code == "" || c.message == "" || c.log == "" {
			t.Errorf("kind %d: got %+v", k, c)
		}
	}
	if len(classes) != int(kindInvalidRequest)+1 {
		t.Errorf("rows: got %d, want %d", len(classes), kindInvalidRequest+1)
	}
}
