package kubernetes

import (
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// selected are the workloads whose pods a selector takes, sorted.
func (b build) selected(tb testing.TB, selector *metav1.LabelSelector) (names []string) {
	tb.Helper()
	takes, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		tb.Fatal(err)
	}
	for name, w := range b.workloads() {
		if takes.Matches(labels.Set(w.pod.Labels)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Each selector takes the pods that it is for, and no others.
func TestSelectors(t *testing.T) {
	program := []string{worker, "Job/gemini-client-provision"}
	want := map[string][]string{
		worker:                              {worker},
		"PodDisruptionBudget/gemini-client": {worker},
		"PodMonitor/gemini-client":          {worker},
		"NetworkPolicy/gemini-client":       program,
		"NetworkPolicy/gemini-client-demo":  {worker},
		"Deployment/nats":                   {"Deployment/nats"},
		"Service/nats":                      {"Deployment/nats"},
		"NetworkPolicy/nats":                {"Deployment/nats"},
		"Deployment/openrouter-sim":         {"Deployment/openrouter-sim"},
		"Service/openrouter-sim":            {"Deployment/openrouter-sim"},
		"NetworkPolicy/openrouter-sim":      {"Deployment/openrouter-sim"},
		"demo: NetworkPolicy/gemini-client": append([]string{"CronJob/ask"}, program...),
	}
	for overlay, b := range overlays(t) {
		for name, object := range b {
			selector, ok := selectorOf(object)
			if !ok {
				continue
			}
			takes := want[name]
			if of, there := want[overlay+": "+name]; there {
				takes = of
			}
			if have := b.selected(t, selector); !slices.Equal(have, takes) {
				t.Errorf("%s: %s takes %v, want %v", overlay, name, have, takes)
			}
		}
	}
}

// selectorOf returns the selector of pods that an object has.
func selectorOf(object runtime.Object) (selector *metav1.LabelSelector, ok bool) {
	switch o := object.(type) {
	case *appsv1.Deployment:
		return o.Spec.Selector, true
	case *policyv1.PodDisruptionBudget:
		return o.Spec.Selector, true
	case *monitoringv1.PodMonitor:
		return &o.Spec.Selector, true
	case *networkingv1.NetworkPolicy:
		return &o.Spec.PodSelector, true
	case *corev1.Service:
		return &metav1.LabelSelector{MatchLabels: o.Spec.Selector}, true
	}
	return nil, false
}

// The pods of one rollout are spread, by the selector of their Deployment.
func TestSpread(t *testing.T) {
	for overlay, b := range overlays(t) {
		spread := b.workloads()[worker].pod.Spec.TopologySpreadConstraints
		if len(spread) != 2 {
			t.Errorf("%s: %v", overlay, spread)
		}
		for _, constraint := range spread {
			if have := b.selected(t, constraint.LabelSelector); !slices.Equal(have, []string{worker}) {
				t.Errorf("%s: %s counts %v", overlay, constraint.TopologyKey, have)
			}
		}
	}
}

// Every volume is mounted and every mount has a volume. What a volume holds is in
// the build, or README.md says how to make it.
func TestVolumes(t *testing.T) {
	for overlay, b := range overlays(t) {
		for name, w := range b.workloads() {
			var volumes, mounts []string
			for _, volume := range w.pod.Spec.Volumes {
				volumes = append(volumes, volume.Name)
				if s := volume.Secret; s != nil && b["Secret/"+s.SecretName] == nil && creates(t, s.SecretName) == "" {
					t.Errorf("%s: %s: nobody makes the Secret %s", overlay, name, s.SecretName)
				}
				if c := volume.ConfigMap; c != nil && b["ConfigMap/"+c.Name] == nil {
					t.Errorf("%s: %s: there is no ConfigMap %s", overlay, name, c.Name)
				}
			}
			for _, mount := range w.container(t).VolumeMounts {
				mounts = append(mounts, mount.Name)
				if mount.SubPath != "" {
					t.Errorf("%s: %s: %s does not change with its Secret", overlay, name, mount.MountPath)
				}
			}
			slices.Sort(volumes)
			slices.Sort(mounts)
			if !slices.Equal(volumes, mounts) {
				t.Errorf("%s: %s has the volumes %v and mounts %v", overlay, name, volumes, mounts)
			}
		}
	}
}

// Service accounts are in the build, and no object is in another namespace.
func TestNames(t *testing.T) {
	for overlay, b := range overlays(t) {
		namespace := map[bool]string{true: "gemini-client-demo", false: "gemini-client"}[overlay == "demo"]
		for name, object := range b {
			meta, ok := object.(metav1.Object)
			if _, is := object.(*corev1.Namespace); !is && (!ok || meta.GetNamespace() != namespace) {
				t.Errorf("%s: %s is not in %s", overlay, name, namespace)
			}
		}
		for name, w := range b.workloads() {
			if account := w.pod.Spec.ServiceAccountName; account != "" && b["ServiceAccount/"+account] == nil {
				t.Errorf("%s: %s: there is no ServiceAccount %s", overlay, name, account)
			}
		}
	}
}

// A rollout never has fewer workers than before, a drain takes one, and those that
// wait for NATS do not hold it up.
func TestWorkersGoOneByOne(t *testing.T) {
	for overlay, b := range overlays(t) {
		d, budget := object[*appsv1.Deployment](t, b, "gemini-client"), object[*policyv1.PodDisruptionBudget](t, b, "gemini-client")
		if d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() != 0 || d.Spec.Strategy.RollingUpdate.MaxUnavailable.String() != "0" {
			t.Errorf("%s: %v", overlay, d.Spec.Strategy.RollingUpdate)
		}
		if budget.Spec.MaxUnavailable.IntValue() != 1 || *budget.Spec.UnhealthyPodEvictionPolicy != policyv1.AlwaysAllow {
			t.Errorf("%s: %v", overlay, budget.Spec)
		}
		if replicas := d.Spec.Replicas; (replicas == nil) != strings.Contains(overlay, "keda") || replicas != nil && *replicas < 2 {
			t.Errorf("%s: replicas %v: want two or more, so that one may go, and none where KEDA says", overlay, replicas)
		}
	}
}
