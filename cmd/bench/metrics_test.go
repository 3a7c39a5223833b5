package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 9}, 3},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v = %v, want %v", c.values, got, c.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for _, c := range []struct {
		values  []float64
		p, want float64
	}{
		{nil, 50, 0},
		{[]float64{7}, 99.9, 7},
		{[]float64{1, 2}, 50, 1},
		{[]float64{1, 2, 3}, 50, 2},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 99.9, 100},
		{hundred, 0, 1},
		{hundred, 100, 100},
	} {
		if got := percentile(c.values, c.p); got != c.want {
			t.Errorf("p%v of %d values = %v, want %v", c.p, len(c.values), got, c.want)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	r := result{Samples: []sample{
		{Contender: floorName, Values: map[metric]float64{rate: 900, half: 20}},
		{Contender: floorName, Values: map[metric]float64{rate: 1000, half: 21}},
		{Contender: floorName, Values: map[metric]float64{rate: 5000, half: 22}},
		{Contender: serviceName, Values: map[metric]float64{rate: 600, half: 21.5}},
		{Contender: serviceName + " B", Values: map[metric]float64{rate: 590, half: 22}},
	}}
	got := r.judge([]target{
		{contender: serviceName, metric: rate, than: floorName, limit: 0.6, least: true},
		{contender: serviceName, metric: half, than: floorName, by: difference, limit: 0.7},
		{contender: serviceName, metric: half, limit: 21.9},
		{contender: serviceName, metric: natsPeak, limit: 1}, // was not measured
	})
	want := []verdict{
		{serviceName, rate, "at least 0.6 of floor's", 0.6, true},
		{serviceName + " B", rate, "at least 0.6 of floor's", 0.59, false},
		{serviceName, half, "at most 0.7 above floor's", 0.5, true},
		{serviceName + " B", half, "at most 0.7 above floor's", 1, false},
		{serviceName, half, "at most 21.9", 21.5, true},
		{serviceName + " B", half, "at most 21.9", 22, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFigure(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0.4238: "0.424", 11_103.2: "11103", 99.95: "100", 2.5: "2.5", 0: "0"} {
		if got := figure(v, true); got != want {
			t.Errorf("%v is shown as %s, want %s", v, got, want)
		}
	}
}
