package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// results is what is read of results.json; package testbed's Report says what
// each of it means.
type results struct {
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Machine struct {
		CPU    string `json:"cpu"`
		Cores  int    `json:"cores"`
		Kernel string `json:"kernel"`
		Go     string `json:"go"`
	} `json:"machine"`
	Daemon string  `json:"daemon"`
	Runs   int     `json:"runs"`
	Scale  float64 `json:"scale"`
	Parts  []struct {
		Name    string    `json:"name"`
		Title   string    `json:"title"`
		Figures []string  `json:"figures"`
		Started time.Time `json:"started"`
		Seconds float64   `json:"seconds"`
	} `json:"parts"`
	Rows   []row    `json:"rows"`
	Series []series `json:"series"`
	Errors []string `json:"errors"`
}

type row struct {
	Part    string    `json:"part"`
	Case    string    `json:"case"`
	Metric  string    `json:"metric"`
	Unit    string    `json:"unit"`
	Samples []float64 `json:"samples"`
	Median  float64   `json:"median"`
	Q1      float64   `json:"q1"`
	Q3      float64   `json:"q3"`
	Target  *struct {
		Least *float64 `json:"least"`
		Most  *float64 `json:"most"`
		Worst bool     `json:"worst"`
	} `json:"target"`
	Met    bool     `json:"met"`
	Load   float64  `json:"load"`
	Paper  string   `json:"paper"`
	Single *float64 `json:"single"`
	Links  []int64  `json:"links"`
}

type series struct {
	Part   string      `json:"part"`
	Case   string      `json:"case"`
	Step   float64     `json:"step"`
	Runs   [][]float64 `json:"runs"`
	Events []struct {
		At   float64 `json:"at"`
		Text string  `json:"text"`
		Sum  float64 `json:"sum"`
	} `json:"events"`
}

// The metrics that are looked for by their names.
const (
	metricRate    = "throughput"
	metricSum     = "of the sum of its links alone"
	metricProfile = "one flow, of the sum"
	metricGrown   = "one flow, of the sum, once it has grown"
)

// split cuts a case into what, over which transport and in which direction.
// The last two may be empty. Where the flow inside is not CUBIC, what says so.
func split(name string) (what, transport, direction string) {
	what, inner := cutInner(name)
	take := func(of ...string) string {
		for _, word := range of {
			if rest, ok := strings.CutSuffix(what, " "+word); ok {
				what = rest
				return word
			}
		}
		return ""
	}
	direction = take("down", "up")
	transport = take("udp", "tcp", "direct")
	what = strings.TrimSuffix(what, ",")
	if inner != "" {
		what += ", " + inner + " inside"
	}
	return what, transport, direction
}

// cutInner cuts off the congestion control of a case's flow; empty: CUBIC.
func cutInner(name string) (rest, inner string) {
	for _, inner := range []string{"bbr", "reno"} {
		if rest, ok := strings.CutSuffix(name, " "+inner); ok {
			return rest, inner
		}
	}
	return name, ""
}

// plotted says whether a case is in the plots: those are of CUBIC.
func plotted(name string) bool {
	_, inner := cutInner(name)
	return inner == ""
}

// rate is the throughput measured over links of these rates; ok is false if it was not.
func (r *results) rate(links []int64, transport, direction string) (found row, ok bool) {
	for _, row := range r.Rows {
		_, t, d := split(row.Case)
		if row.Metric == metricRate && plotted(row.Case) && t == transport && d == direction && slices.Equal(row.Links, links) {
			return row, true
		}
	}
	return row{}, false
}

// target in words.
func (r row) target() string {
	switch {
	case r.Target == nil:
		return ""
	case r.Target.Least != nil:
		return "≥ " + number(*r.Target.Least)
	case r.Target.Most != nil:
		return "≤ " + number(*r.Target.Most)
	default:
		return ""
	}
}

// number shows three digits, or the whole integer part.
func number(v float64) string {
	switch a := max(v, -v); {
	case v == float64(int64(v)):
		return fmt.Sprint(int64(v))
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
