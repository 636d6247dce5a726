package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"netcombiner/src/control"
)

// show prints the status of one tunnel, or of all that run.
func (a *app) show(args []string) error {
	fs := flag.NewFlagSet("show", flag.ContinueOnError)
	asJSON := fs.Bool("json", false, "")
	watch := fs.Bool("watch", false, "")
	metrics := fs.Bool("metrics", false, "")
	rest, err := parse(fs, args, 0, 1)
	if err != nil {
		return err
	}
	if *metrics && (*asJSON || *watch) {
		return usageError("show: --metrics stands alone")
	}
	v := viewer{recent: make(map[string]*control.Recent), style: control.StyleFor(a.out)}
	if len(rest) == 1 {
		v.iface = rest[0]
		if err := checkInterface(v.iface); err != nil {
			return err
		}
	}
	draw := v.text
	switch {
	case *metrics:
		draw = v.metrics
	case *asJSON && *watch:
		draw = v.jsonLine
	case *asJSON:
		draw = v.json
	}
	text, err := draw()
	if err != nil || !*watch {
		fmt.Fprint(a.out, text)
		return err
	}
	v.live = true
	if *asJSON {
		return a.watchJSON(draw)
	}
	return a.watch(draw)
}

// watchEvery is how often a view is drawn anew.
const watchEvery = time.Second

// watch draws until somebody has seen enough. What does not run may come back.
func (a *app) watch(draw func() (string, error)) error {
	ctx, release := untilInterrupted()
	defer release()
	return control.Watch(ctx, a.in, a.out, watchEvery, func() string {
		text, err := draw()
		if err != nil {
			return text + err.Error() + "\n"
		}
		return text
	})
}

// watchJSON is watch for programs: one object a line, none while nothing runs.
func (a *app) watchJSON(draw func() (string, error)) error {
	ctx, release := untilInterrupted()
	defer release()
	return control.Repeat(ctx, watchEvery, func() error {
		text, err := draw()
		if errors.Is(err, control.ErrNotRunning) {
			return nil
		}
		if err == nil {
			_, err = fmt.Fprint(a.out, text)
		}
		return err
	})
}

// viewer asks daemons for what is to be shown.
type viewer struct {
	iface  string // "": all that run
	style  control.Style
	live   bool                       // say how fast it goes, since the views before
	recent map[string]*control.Recent // by interface
	killed []string                   // where a socket is left, and nothing runs
}

// text is the status for a person.
func (v *viewer) text() (string, error) {
	var all []string
	_, err := v.ask(func(iface string, raw json.RawMessage) error {
		now := new(control.Status)
		if err := json.Unmarshal(raw, now); err != nil {
			return err
		}
		if v.recent[iface] == nil {
			v.recent[iface] = new(control.Recent)
		}
		recent := v.recent[iface]
		recent.Add(now)
		if !v.live {
			recent = nil
		}
		all = append(all, control.Text(now, recent, v.style))
		return nil
	})
	for _, iface := range v.killed {
		all = append(all, fmt.Sprintf("interface: %s\n  it does not run, and was killed: \"netcombiner %s\" starts it again, \"netcombiner down %s\" undoes what it left\n", iface, iface, iface))
	}
	return strings.Join(all, "\n"), err
}

// metrics is the status for Prometheus.
func (v *viewer) metrics() (string, error) {
	var all []*control.Status
	_, err := v.ask(func(_ string, raw json.RawMessage) error {
		s := new(control.Status)
		all = append(all, s)
		return json.Unmarshal(raw, s)
	})
	return control.MetricsText(all...), err
}

// json is the status for a program: an object for one interface, an array of
// them for all.
func (v *viewer) json() (string, error) {
	raw, failed := v.raw()
	if raw == nil {
		return "", failed
	}
	var b bytes.Buffer
	err := json.Indent(&b, raw, "", "  ")
	return b.String() + "\n", errors.Join(failed, err)
}

func (v *viewer) jsonLine() (string, error) {
	raw, err := v.raw()
	return string(raw) + "\n", err
}

// raw is also of all tunnels when some of them fail; then with an error.
func (v *viewer) raw() (json.RawMessage, error) {
	all, failed := v.ask(func(string, json.RawMessage) error { return nil })
	switch {
	case v.iface == "":
		raw, err := json.Marshal(all)
		return raw, errors.Join(failed, err)
	case failed != nil:
		return nil, failed
	}
	return all[0], nil
}

// ask calls each with the answer of every daemon that is meant. One that hangs keeps
// nobody from hearing of the others: the error tells of all that failed.
func (v *viewer) ask(each func(iface string, raw json.RawMessage) error) ([]json.RawMessage, error) {
	names := []string{v.iface}
	if v.iface == "" {
		var err error
		if names, err = control.Interfaces(); err != nil {
			return nil, err
		}
	}
	answers, failed := []json.RawMessage{}, error(nil)
	v.killed = nil
	for _, iface := range names {
		raw, err := ask(iface)
		if errors.Is(err, control.ErrNotRunning) && v.iface == "" {
			v.killed = append(v.killed, iface)
			continue
		}
		if err == nil {
			err = each(iface, raw)
		}
		if err != nil {
			failed = errors.Join(failed, about(iface, err))
			continue
		}
		answers = append(answers, raw)
	}
	return answers, failed
}

func ask(iface string) (json.RawMessage, error) {
	c, err := control.Dial(iface)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.StatusJSON()
}
