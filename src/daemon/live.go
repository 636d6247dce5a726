package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/control"
	"netcombiner/src/routing"
)

// Change implements control.Handler: it changes the tunnel that runs. The file
// stays as it is.
func (t *tunnel) Change(command string, c control.Change) (notes []string, err error) {
	t.changing.Lock()
	defer t.changing.Unlock()
	now := t.config()
	var next *config.Config
	if command == "reload" {
		next, notes, err = t.reload(now)
	} else {
		next, err = now.Edit(editOf(command, c))
	}
	if errs, ok := errors.AsType[config.Errors](err); ok {
		return nil, control.Invalid(errs)
	}
	if err == nil {
		err = t.apply(now, next)
	}
	if err != nil {
		t.log.Warn("the tunnel was not changed", "command", command, "why", err)
		return nil, err
	}
	what := cmp.Or(c.Path, c.Bypass, "interface")
	if command == "reload" {
		what = t.ConfigFile
	}
	t.log.Info("the tunnel was changed", "command", command, "what", what, "settings", settingsText(c.Settings))
	return notes, nil
}

// reload reads the file anew.
func (t *tunnel) reload(now *config.Config) (next *config.Config, notes []string, err error) {
	file, err := config.Load(t.ConfigFile)
	if err != nil {
		return nil, nil, err
	}
	next, restart, err := now.Reload(file)
	if err != nil {
		return nil, nil, err
	}
	for _, key := range restart {
		notes = append(notes, control.RestartNote(key))
	}
	return next, append(notes, config.Warnings(t.ConfigFile, file)...), nil
}

// apply has routing and portal follow: the routing first, for a path must not
// be dialled into the tunnel. Where the portal does not, all is as before.
func (t *tunnel) apply(now, next *config.Config) error {
	t.current.Store(next)
	t.reroute()
	err := t.portal.Apply(next)
	if err != nil {
		t.current.Store(now)
		t.reroute()
	}
	return err
}

// config is what runs.
func (t *tunnel) config() *config.Config { return t.current.Load() }

// rerouteTime bounds how long a change waits for the routing, which goes on.
const rerouteTime = 3 * time.Second

// reroute has the routing follow the configuration.
func (t *tunnel) reroute() {
	if !routing.Needed(t.Config) {
		return
	}
	done := make(chan struct{})
	patience := time.After(rerouteTime)
	select {
	case t.changed <- done:
	case <-patience:
		return
	}
	select {
	case <-done:
	case <-patience:
	}
}

func editOf(command string, c control.Change) config.Edit {
	e := config.Edit{Do: command, Path: c.Path, Bypass: c.Bypass}
	for _, s := range c.Settings {
		e.Settings = append(e.Settings, config.Setting{Key: s.Key, Value: s.Value})
	}
	return e
}

// settingsText is for the log. None of what may be set is secret, and all of it
// was valid.
func settingsText(settings []control.Setting) string {
	var all []string
	for _, s := range settings {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s", s.Key, s.Value)))
	}
	return strings.Join(all, ", ")
}
