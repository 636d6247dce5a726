package main

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"netcombiner/src/control"
)

// upMetric tells of tunnels whose daemon does not answer: they have no other.
var upMetric = prometheus.NewDesc("netcombiner_up", "1 where the tunnel's daemon answers.", []string{"interface"}, nil)

// family is one of package control's as the client library knows it.
type family struct {
	control.Family
	desc *prometheus.Desc
	kind prometheus.ValueType
}

var families = describe()

func describe() (all []family) {
	for _, f := range control.Families {
		kind := prometheus.GaugeValue
		if f.Type == "counter" {
			kind = prometheus.CounterValue
		}
		all = append(all, family{f, prometheus.NewDesc(f.Name, f.Help, f.Labels, nil), kind})
	}
	return all
}

// collector asks all tunnels at every scrape.
type collector struct{}

func (collector) Describe(descs chan<- *prometheus.Desc) {
	descs <- upMetric
	for _, f := range families {
		descs <- f.desc
	}
}

// maxAsked is how many tunnels are asked at once: one that hangs delays no more
// than those behind it.
const maxAsked = 16

func (collector) Collect(metrics chan<- prometheus.Metric) {
	names, err := control.Interfaces()
	if err != nil {
		metrics <- prometheus.NewInvalidMetric(upMetric, err)
		return
	}
	var asking sync.WaitGroup
	slots := make(chan struct{}, maxAsked)
	for _, name := range names {
		slots <- struct{}{}
		asking.Go(func() {
			collect(name, metrics)
			<-slots
		})
	}
	asking.Wait()
}

// collect tells all of one tunnel. A socket that a killed daemon left is no
// reason to tell nothing of the others.
func collect(name string, metrics chan<- prometheus.Metric) {
	s, err := ask(name)
	up := 1.0
	if err != nil {
		up = 0
	}
	metrics <- prometheus.MustNewConstMetric(upMetric, prometheus.GaugeValue, up, name)
	if err != nil {
		return
	}
	for _, f := range families {
		f.Each(s, func(value float64, labels ...string) {
			metrics <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
		})
	}
}

func ask(name string) (*control.Status, error) {
	c, err := control.Dial(name)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	s, err := c.Status()
	if err == nil {
		s.Interface = name // of the socket: two cannot be the same
	}
	return s, err
}
