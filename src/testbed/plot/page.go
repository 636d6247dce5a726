package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"time"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"number":  number,
	"target":  row.target,
	"minutes": func(seconds float64) string { return time.Duration(seconds * 1e9).Round(time.Second).String() },
	"dict": func(t table, paper bool) any {
		return struct {
			Table table
			Paper bool
		}{t, paper}
	},
}).Parse(pageText))

// page is index.html.
func (r *results) page(figures []figure) ([]byte, error) {
	var b bytes.Buffer
	err := pageTemplate.Execute(&b, struct {
		*results
		Verdict string
		Paper   table
		Other   table
		Figures []figure
	}{r, r.verdict(), r.paperTable(), r.otherTable(), figures})
	return b.Bytes(), err
}

// verdict says how many targets are met.
func (r *results) verdict() string {
	targets, missed := 0, 0
	for _, row := range r.Rows {
		if row.Target != nil {
			targets++
			if !row.Met {
				missed++
			}
		}
	}
	if missed == 0 {
		return fmt.Sprintf("All %d targets are met.", targets)
	}
	return fmt.Sprintf("%d of %d targets are met; %d are missed, and marked.", targets-missed, targets, missed)
}

// Inline is the plot as a part of a page.
func (f figure) Inline() template.HTML {
	// Without what only a file of its own has: the XML declaration before the element.
	at := bytes.Index(f.svg, []byte("<svg"))
	return template.HTML(f.svg[max(0, at):])
}
