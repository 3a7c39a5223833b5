package upstream

import (
	"testing"
	"testing/synctest"

	"gemini-client/service/openrouter"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// The simulator retires the model in each of its ways, and brings it back: the one request
// an hour that looks finds it, and those after it are answered by it again.
func TestRetiredModelComesBack(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]simulator.Retirement{
		"404": simulator.RetiredNoEndpoints, "400": simulator.RetiredUnknown, "availability": simulator.RetiredDeprecated,
		"availability in metadata": simulator.RetiredDeprecatedMetadata, "by models": simulator.RetiredSilently,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sim := simulator.New(simulator.Config{})
				p, log := newLoggedCaller(t, nil)
				client, err := openrouter.New(openrouter.Config{Transport: direct{sim}})
				if err != nil {
					t.Fatal(err)
				}
				p.client = client
				p.keys.replace([]string{servicetest.Key})
				asked := func() (old int) {
					for _, c := range sim.Calls() {
						if c.Model == oldModel {
							old++
						}
					}
					return old
				}
				ask := func(want string) {
					t.Helper()
					re := p.askFor(t.Context(), oldModel, oldModel, successor)
					if re.Err != nil || !sameModel(want, re.Answer.Model) {
						t.Errorf("got %+v, %v, want an answer of %s", re.Answer, re.Err, want)
					}
				}
				ask(oldModel)
				sim.Retire(oldModel, how)
				for range 3 {
					ask(successor)
				}
				gone := asked()
				for range 5 {
					ask(successor)
				}
				_ = sleep(t.Context(), retiredFor)
				for range 5 {
					ask(successor)
				}
				if looks := asked() - gone; looks != 1 {
					t.Errorf("an hour later: %d looks, want 1", looks)
				}
				sim.Restore(oldModel)
				ask(successor)
				_ = sleep(t.Context(), retiredFor)
				ask(oldModel)
				ask(oldModel)
				if warnings(log) != 1 || len(p.retired.list()) != 0 {
					t.Errorf("retired: %v, want none, and one warning:\n%s", p.retired.list(), log)
				}
			})
		})
	}
}
