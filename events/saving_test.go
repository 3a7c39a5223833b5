package events_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"gemini-client/events"
)

// savingRequest is the request in testdata that saves where it can.
func savingRequest() events.Request {
	return events.Request{
		ID: "6ba7b813-9dad-11d1-80b4-00c04fd430c8", Prompt: "Summarise the call.", Model: "google/gemini-3.5-flash-lite", NamesModel: true,
		Parameters: events.DefaultParameters(), CallbackQueue: "gemini.responses", Timestamp: now(),
		ServiceTierFallback: true, CacheTTL: new(3600),
		OpenRouter: map[string]json.RawMessage{
			"service_tier": raw(`"auto"`), "session_id": raw(`"call-4711"`), "user": raw(`"u-1"`), "metadata": raw(`{"team": "support"}`),
			"trace": raw(`{"trace_name": "calls"}`), "provider": raw(`{"only": ["google-vertex"]}`),
		},
	}
}

// pairs is an object of so many members.
func pairs(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"k%d":"v"`, i))
	}
	return "{" + strings.Join(all, ",") + "}"
}

// What may change the price, or is over OpenRouter's limits, is refused with a
// sentence that names the field, the problem and the way out; one at a limit is not.
func TestDecodeSaving(t *testing.T) {
	t.Parallel()
	const noTier = `, a price tier that is not allowed; give one of "auto", "default", "flex", or have PRICE_TIERS_ALLOW allow it`
	const noModel = `, which is not allowed; give a model that matches one of "google/*", "~google/*", "@preset/ok*"`
	tests := map[string]struct {
		member   string
		want     string // nothing: it is accepted
		inSchema bool
	}{
		"flex":                    {`"openrouter":{"service_tier":"flex"}`, "", false},
		"auto":                    {`"openrouter":{"service_tier":"auto"}`, "", false},
		"default":                 {`"openrouter":{"service_tier":"default"}`, "", false},
		"no tier":                 {`"openrouter":{"service_tier":null,"user":null,"session_id":null,"metadata":null,"trace":null,"preset":null,"provider":null}`, "", false},
		"priority":                {`"openrouter":{"service_tier":"priority"}`, `openrouter.service_tier: is "priority"` + noTier, false},
		"standard":                {`"openrouter":{"service_tier":"standard"}`, `openrouter.service_tier: is "standard"` + noTier, false},
		"a tier in another case":  {`"openrouter":{"service_tier":"Flex"}`, `openrouter.service_tier: is "Flex"` + noTier, false},
		"a tier that is a number": {`"openrouter":{"service_tier":1}`, "openrouter.service_tier: is 1; give a string or null", true},
		"floor":                   {`"model":"gemini-2.5-flash:floor"`, "", false},
		"nitro":                   {`"model":"gemini-2.5-flash:Nitro"`, `model: is "gemini-2.5-flash:Nitro", whose suffix :nitro asks for the price tier "priority", which is not allowed; leave the suffix out`, false},
		"a fallback with nitro":   {`"openrouter":{"models":["google/x:nitro"]}`, `openrouter.models[0]: is "google/x:nitro", whose suffix :nitro asks for the price tier "priority", which is not allowed; leave the suffix out`, false},
		"endpoints of flex":       {`"openrouter":{"provider":{"only":["google-vertex/flex"],"order":["google-vertex/global/flex","google-vertex/us-east5"]}}`, "", false},
		"endpoints of priority":   {`"openrouter":{"provider":{"only":["google-vertex","google-vertex/global/priority"]}}`, `openrouter.provider.only[1]: is "google-vertex/global/priority"` + noTier, false},
		"order by priority":       {`"openrouter":{"provider":{"order":["google-vertex/priority"]}}`, `openrouter.provider.order[0]: is "google-vertex/priority"` + noTier, false},
		"a provider named so":     {`"openrouter":{"provider":{"only":["priority"],"ignore":["google-vertex/priority"],"odd":1}}`, "", false},
		"only a string":           {`"openrouter":{"provider":{"only":"google-vertex"}}`, `openrouter.provider.only: is the string "google-vertex"; give a list of strings or null`, true},
		"a preset":                {`"openrouter":{"preset":"okay"}`, "", false},
		"a preset by its mark":    {`"openrouter":{"preset":"@preset/okay"}`, "", false},
		"a preset as model":       {`"model":"@preset/okay"`, "", false},
		"a model with a preset":   {`"model":"gemini-2.5-flash@preset/okay"`, "", false},
		"another preset":          {`"openrouter":{"preset":"dear"}`, `openrouter.preset: is "@preset/dear"` + noModel, false},
		"another as model":        {`"model":"@preset/dear"`, `model: is "@preset/dear"` + noModel, false},
		"another with a model":    {`"model":"google/x@preset/dear"`, `model: is "google/x@preset/dear"` + noModel, false},
		"a dear model with it":    {`"model":"openai/x@preset/okay"`, `model: is "openai/x@preset/okay"` + noModel, false},
		"online before a preset":  {`"model":"google/x:online@preset/okay"`, `model: is "google/x:online@preset/okay", whose suffix :online turns on the plugin "web", which is not allowed; leave the suffix out`, false},
		"a preset of a number":    {`"openrouter":{"preset":1}`, "openrouter.preset: is 1; give a string or null", true},
		"fallback":                {`"service_tier_fallback":true`, "", false},
		"fallback null":           {`"service_tier_fallback":null`, "", false},
		"fallback a string":       {`"service_tier_fallback":"yes"`, `service_tier_fallback: is the string "yes"; give true or false`, true},
		"cache off":               {`"cache_ttl":0`, "", false},
		"cache for a day":         {`"cache_ttl":86400`, "", false},
		"cache null":              {`"cache_ttl":null`, "", false},
		"cache for longer":        {`"cache_ttl":86401`, "cache_ttl: is 86401; give an integer from 0 to 86400", true},
		"cache true":              {`"cache_ttl":true`, "cache_ttl: is true; give an integer from 0 to 86400", true},
		"a user":                  {`"openrouter":{"user":"` + strings.Repeat("é", 128) + `"}`, "", false},
		"a long user":             {`"openrouter":{"user":"` + strings.Repeat("é", 129) + `"}`, "openrouter.user: has 129 characters; give at most 128", true},
		"a user of a list":        {`"openrouter":{"user":["` + secret + `"]}`, "openrouter.user: is a list; give a string", true},
		"a session":               {`"openrouter":{"session_id":"` + strings.Repeat("x", 256) + `"}`, "", false},
		"a long session":          {`"openrouter":{"session_id":"` + strings.Repeat("x", 257) + `"}`, "openrouter.session_id: has 257 characters; give at most 256", true},
		"metadata":                {`"openrouter":{"metadata":` + pairs(16) + `}`, "", false},
		"a pair too many":         {`"openrouter":{"metadata":` + pairs(17) + `}`, "openrouter.metadata: has 17 pairs; give at most 16", true},
		"the longest pair":        {`"openrouter":{"metadata":{"` + strings.Repeat("k", 64) + `":"` + strings.Repeat("v", 512) + `"}}`, "", false},
		"a long key":              {`"openrouter":{"metadata":{"` + strings.Repeat("k", 65) + `":""}}`, "a key of openrouter.metadata: has 65 characters; give at most 64", true},
		"a long value":            {`"openrouter":{"metadata":{"a":"` + strings.Repeat("v", 513) + `"}}`, `openrouter.metadata["a"]: has 513 characters; give at most 512`, true},
		"a value of a number":     {`"openrouter":{"metadata":{"a":1}}`, `openrouter.metadata["a"]: is a number; give a string`, true},
		"metadata of a list":      {`"openrouter":{"metadata":["` + secret + `"]}`, "openrouter.metadata: is a list; give an object of strings or null", true},
		"a trace":                 {`"openrouter":{"trace":{"trace_id":"x","any":{"a":[1]}}}`, "", false},
		"a trace of a string":     {`"openrouter":{"trace":"` + secret + `"}`, "openrouter.trace: is a string; give an object or null", true},
	}
	schema := compile(t, requestSchema)
	r := rules()
	r.Models = append(r.Models, "@preset/ok*")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := asked(tt.member)
			if tt.want == "" {
				if _, err := r.Decode([]byte(body), now()); err != nil {
					t.Errorf("Decode(%s)\n got %v\nwant none", cut(body), err)
				}
			} else if _, failure := decodeFailure(t, r, body); failure != (events.Failure{Code: events.InvalidRequest, Message: tt.want}) {
				t.Errorf("Decode(%s)\n got %v\nwant %s", cut(body), failure, tt.want)
			}
			if err := validate(t, schema, []byte(body)); (err != nil) != tt.inSchema {
				t.Errorf("%s\n got %v from the schema\nwant it refused: %v", cut(body), err, tt.inSchema)
			}
		})
	}
}

// Without PRICE_TIERS_ALLOW only what is never dearer is allowed.
func TestNoTiersAllowed(t *testing.T) {
	t.Parallel()
	r := rules()
	r.Tiers = nil
	_, failure := decodeFailure(t, r, asked(`"openrouter":{"service_tier":"flex"}`))
	const want = `openrouter.service_tier: is "flex", a price tier that is not allowed; give one of "auto", "default", or have PRICE_TIERS_ALLOW allow it`
	if failure.Message != want {
		t.Errorf("flex with no tiers allowed\n got %s\nwant %s", failure.Message, want)
	}
	r.Tiers = []string{"priority"}
	if _, err := r.Decode([]byte(asked(`"model":"gemini-2.5-flash:nitro"`)), now()); err != nil {
		t.Errorf(":nitro with priority allowed: %v", err)
	}
}
