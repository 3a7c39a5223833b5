package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// board is a dashboard.
type board struct {
	name, title, description string
	rows                     []row
}

// row is a heading and the panels below it.
type row struct {
	title  string
	panels []panel
}

// panel is one graph, or with now a number.
type panel struct {
	title       string
	description string // what is shown, and what a reader should think of it
	unit        string // of Grafana's list
	queries     []query
	now         bool // the last value alone
	exemplars   bool // dots that lead to traces; of histograms
}

// query is an expression and how its series are called.
type query struct{ expr, legend string }

// Units, as Grafana calls them.
const (
	short    = "short"
	perSec   = "reqps"
	seconds  = "s"
	size     = "bytes"
	percent  = "percentunit"
	dollars  = "currencyUSD"
	ops      = "ops"
	wide     = 12 // of 24 columns
	narrow   = 4
	tall     = 8
	flat     = 4
	job      = `job=~"$job"`
	rates    = "[$__rate_interval]"
	variable = "${datasource}"
	refs     = "ABCDEFGH" // names of a panel's queries
)

// build returns the dashboard in Grafana's types: those of the classic model, which
// every Grafana provisions from a file.
func (b board) build() (dashboard.Dashboard, error) { //nolint:staticcheck // the SDK prefers v2, which Grafana 12 does not read from a plain file
	all := dashboard.NewDashboardBuilder(b.title).Uid("gemini-client-"+b.name).Description(b.description). //nolint:staticcheck // as above
														Tags([]string{"gemini-client"}).Time("now-6h", "now").Refresh("30s").Readonly().
														Tooltip(dashboard.DashboardCursorSyncCrosshair).
														WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Prometheus").Type("prometheus")).
														WithVariable(dashboard.NewQueryVariableBuilder("job").Label("Deployment").Datasource(source()).
															Query(dashboard.StringOrMap{String: new("label_values(gemini_slots, job)")}).
															Refresh(dashboard.VariableRefreshOnTimeRangeChanged).IncludeAll(true).AllValue(".*").
															Current(dashboard.VariableOption{Selected: new(true), Text: dashboard.StringOrArrayOfString{String: new("All")}, Value: dashboard.StringOrArrayOfString{String: new("$__all")}})).
														Link(dashboard.NewDashboardLinkBuilder("gemini-client").Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{"gemini-client"}).IncludeVars(true).KeepTime(true))
	for _, r := range b.rows {
		all.WithRow(dashboard.NewRowBuilder(r.title))
		for _, p := range r.panels {
			all.WithPanel(p.builder())
		}
	}
	return all.Build()
}

// source is the data source that the reader has chosen.
func source() common.DataSourceRef {
	return common.DataSourceRef{Type: new("prometheus"), Uid: new(variable)}
}

func (p panel) builder() cog.Builder[dashboard.Panel] {
	if p.now {
		one := stat.NewPanelBuilder().Title(p.title).Description(p.description).Unit(p.unit).Datasource(source()).
			Height(flat).Span(narrow).NoValue("none")
		for n, q := range p.queries {
			one.WithTarget(p.target(n, q))
		}
		return one
	}
	graph := timeseries.NewPanelBuilder().Title(p.title).Description(p.description).Unit(p.unit).Datasource(source()).
		Height(tall).Span(wide).Min(0).FillOpacity(10).LineWidth(1).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true))
	for n, q := range p.queries {
		graph.WithTarget(p.target(n, q))
	}
	return graph
}

func (p panel) target(n int, q query) *prometheus.DataqueryBuilder {
	target := prometheus.NewDataqueryBuilder().RefId(refs[n : n+1]).Expr(q.expr).LegendFormat(q.legend).Exemplar(p.exemplars)
	if p.now {
		return target.Instant()
	}
	return target.Range()
}

// quantiles are the median, the 95th and the 99th percentile of a histogram.
func quantiles(histogram, labels string) []query {
	var list []query
	for _, q := range []struct{ of, legend string }{{"0.5", "median"}, {"0.95", "95 %"}, {"0.99", "99 %"}} {
		list = append(list, query{"histogram_quantile(" + q.of + ", sum by (le) (rate(" + histogram + "_bucket{" + job + labels + "}" + rates + ")))", q.legend})
	}
	return list
}

// one is a single query.
func one(expr, legend string) []query { return []query{{expr, legend}} }
