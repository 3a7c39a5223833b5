package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Change is what Provision would do to one setting, or to make what is missing.
type Change struct {
	What       string // "stream NAME", or "consumer NAME of STREAM"
	Setting    string // "" if it would be made
	Have, Want any    // what the server has, and the configuration wants
	Harm       string // why the service must not work with what the server has; "" if it may
}

func (c Change) String() string {
	if c.Setting == "" {
		return c.What + ": would be created"
	}
	text := fmt.Sprintf("%s: %s: the server has %v, the configuration wants %v", c.What, c.Setting, shownSetting(c.Have), shownSetting(c.Want))
	if c.Harm != "" {
		text += " (harmful: " + c.Harm + ")"
	}
	return text
}

func shownSetting(v any) any {
	if isNothing(v) && v != false {
		return "nothing"
	}
	return v
}

// Plan returns what Provision would change, and changes nothing. Readers are compared as
// well. Errors: config.ErrInvalid, those of JetStream.
func (t Topology) Plan(ctx context.Context, js jetstream.JetStream, readers []QueueConsumer) (plan []Change, err error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if t, err = t.WithTenants(ctx, js); err != nil {
		return nil, err
	}
	for _, want := range t.Streams {
		changes, err := t.planStream(ctx, js, want)
		if err != nil {
			return nil, refused("stream "+want.Name, err)
		}
		plan = append(plan, changes...)
	}
	for _, want := range slices.Concat(t.Consumers, readers) {
		what := want.what()
		consumer, err := js.Consumer(ctx, want.Stream, want.Config.Durable)
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
			plan = append(plan, Change{What: what})
		case err != nil:
			return nil, refused(what, err)
		default:
			plan = append(plan, want.changes(consumer.CachedInfo().Config)...)
		}
	}
	return plan, nil
}

func (t Topology) planStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) ([]Change, error) {
	what := "stream " + want.Name
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return []Change{{What: what}}, nil
	}
	if err != nil {
		return nil, err
	}
	have := stream.CachedInfo().Config
	return changes(what, streamDifferences(have, want, t.LeastAge[want.Name], t.Bounds[want.Name]), comparedStream(have), comparedStream(want)), nil
}

// changes are the differences that matter to the service, and then what else Provision
// would set.
func changes(what string, differences []difference, have, want any) (list []Change) {
	said := map[string]bool{}
	for _, d := range differences {
		setting, _, _ := strings.Cut(d.setting, " ")
		if !said[setting] {
			list = append(list, Change{what, d.setting, d.have, d.want, d.harm})
		}
		said[setting] = true
	}
	before, after := settingsOf(have), settingsOf(want)
	all := maps.Clone(before)
	maps.Copy(all, after)
	for _, setting := range slices.Sorted(maps.Keys(all)) {
		if !said[setting] && !reflect.DeepEqual(before[setting], after[setting]) {
			list = append(list, Change{What: what, Setting: setting, Have: before[setting], Want: after[setting]})
		}
	}
	return list
}

// settingsOf are the settings of a configuration by the names that JetStream gives them,
// without those that say nothing.
func settingsOf(configuration any) map[string]any {
	text, err := json.Marshal(configuration)
	all := map[string]any{}
	if err != nil || json.Unmarshal(text, &all) != nil {
		return all
	}
	maps.DeleteFunc(all, func(_ string, v any) bool { return isNothing(v) })
	for setting, v := range all {
		if n, ok := v.(float64); ok {
			all[setting] = int64(n)
			if slices.Contains([]string{"duplicate_window", "max_age", "ack_wait", "inactive_threshold", "subject_delete_marker_ttl"}, setting) {
				all[setting] = time.Duration(n)
			}
		}
	}
	return all
}

func isNothing(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == "" || v == "none"
	case bool:
		return !v
	case float64:
		return v <= 0
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// comparedStream makes what a server adds to a configuration the same on both sides.
func comparedStream(c jetstream.StreamConfig) jetstream.StreamConfig {
	if c.Duplicates == 0 {
		c.Duplicates = shorter(2*time.Minute, c.MaxAge)
	}
	c.Replicas = max(1, c.Replicas)
	c.Subjects = slices.Sorted(slices.Values(c.Subjects))
	c.Metadata = ownMetadata(c.Metadata)
	return c
}

// comparedConsumer is comparedStream of a consumer. A pause stays as it is.
func comparedConsumer(c jetstream.ConsumerConfig) jetstream.ConsumerConfig {
	if c.MaxWaiting == 0 {
		c.MaxWaiting = 512
	}
	c.Name, c.PauseUntil = c.Durable, nil
	c.Metadata = ownMetadata(c.Metadata)
	return c
}

// ownMetadata leaves out what the server says of itself.
func ownMetadata(m map[string]string) map[string]string {
	m = maps.Clone(m)
	maps.DeleteFunc(m, func(key, _ string) bool { return strings.HasPrefix(key, "_nats.") })
	return m
}
