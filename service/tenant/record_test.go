package tenant_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"gemini-client/service/tenant"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	acme, err := tenant.Decode("acme", []byte(`{"max_in_flight":20,"budget":{"day":5},"of a later version":true}`))
	if err != nil || acme.Name != "acme" || acme.Weight != 1 || acme.MaxInFlight != 20 || acme.Budget.Day != 5 {
		t.Errorf("got %+v, %v", acme, err)
	}
	for record, problem := range map[string]string{
		``:                              "is not what is stored",
		`[]`:                            "is not what is stored",
		`{"weight":"much"}`:             "is not what is stored",
		`{"weight":1} {"weight":2}`:     "is not what is stored",
		`{"weight":0,"when_spent":"x"}`: "when_spent",
		`{"weight":2000}`:               "weight: is 2000",
	} {
		if got, err := tenant.Decode("acme", []byte(record)); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: got %+v, %v", record, got, err)
		}
	}
	if _, err := tenant.Decode("a.b", []byte(`{}`)); err == nil || !strings.Contains(err.Error(), `"a.b"`) {
		t.Errorf("a name that is none: %v", err)
	}
}

// What is taken for a tenant is one, and is stored as it is.
func FuzzDecode(f *testing.F) {
	for _, record := range []string{`{}`, `{"weight":3,"models":["google/*"],"budget":{"month":100}}`, `{"isolated":true,"note":"x"}`, `null`, `{"weight":1e99}`, `{"Weight":2,"weight":3}`} {
		f.Add("acme", []byte(record))
	}
	f.Fuzz(func(t *testing.T, name string, record []byte) {
		got, err := tenant.Decode(name, record)
		if err != nil {
			return
		}
		if err := got.Validate(); err != nil {
			t.Fatalf("it is taken and breaks a rule: %v", err)
		}
		stored, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := tenant.Decode(name, stored); err != nil || len(got.Models) > 0 && !reflect.DeepEqual(got, again) {
			t.Fatalf("%s: got %+v, then %+v, %v", stored, got, again, err)
		}
	})
}
