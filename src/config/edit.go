package config

import (
	"slices"
	"strings"
)

// Setting is a key and its value, as on a line of the file. The value Default
// takes the line out.
type Setting struct{ Key, Value string }

// Default is the value of a key that is as if it were not given.
const Default = "default"

// What Edit does.
const (
	Set    = "set"
	Add    = "add"
	Remove = "remove"
)

// Edit is a change to a tunnel that runs. The file stays as it is.
type Edit struct {
	Do       string // Set, Add or Remove
	Path     string // the name of a path…
	Bypass   string // …or a prefix that a [Bypass] is To; neither: [Interface], which can only be Set
	Settings []Setting
}

// Besides the keys of a [Path], a path can be set Up and Down, without a value.
const (
	up   = "up"
	down = "down"
)

// What can be set while the tunnel runs, of a path and of [Interface].
var (
	LivePath      = []string{"Metric", "Rate", "Congestion", "Direction", "Quota", "QuotaReset", "Bind", "Remote"}
	LiveInterface = []string{"Scheduler", "Fallback"}
)

// source is what a Config was made of.
type source struct {
	system   string // that it is for
	name     string // of the file
	sections []section
}

// Edit returns the configuration with a change. It is checked as a whole file
// is; the error is an Errors, without lines, and then c is all that there is. It
// fails on a Config that was not parsed.
func (c *Config) Edit(e Edit) (*Config, error) {
	subject := "interface"
	if e.Path != "" {
		subject = "path " + quote(e.Path)
	} else if e.Bypass != "" {
		subject = "bypass " + quote(e.Bypass)
	}
	sections := c.named()
	sections, err := c.edit(sections, e)
	if err != nil {
		return nil, Errors{{File: subject, Key: err.key, Value: quote(err.value), Problem: err.problem, Allowed: err.allowed}}
	}
	next, errs := c.rebuild(sections)
	for _, e := range errs {
		e.File, e.Line = subject, 0
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return next, nil
}

// named returns copies of the sections, in which each path has its name: a path
// that is called path2 for its place keeps that when path1 goes.
func (c *Config) named() []section {
	all := slices.Clone(c.source.sections)
	i := 0
	for n := range all {
		s := &all[n]
		s.entries = slices.Clone(s.entries)
		if !s.is("Path") {
			continue
		}
		if s.find("Name") < 0 {
			s.entries = append(s.entries, entry{"Name", c.Paths[i].Name, s.line})
		}
		i++
	}
	return all
}

// rebuild makes the configuration of sections. Key and all that a file may have
// lost meanwhile stay as they are.
func (c *Config) rebuild(sections []section) (*Config, Errors) {
	p := &parser{system: c.source.system, name: c.source.name, readFile: func(string) ([]byte, error) { return []byte(c.Interface.Key.Base64()), nil }}
	next := p.build(sections)
	next.source = source{c.source.system, c.source.name, sections}
	return next, p.errs
}

// misfit is what is wrong with an Edit.
type misfit struct{ key, value, problem, allowed string }

func (c *Config) edit(sections []section, e Edit) ([]section, *misfit) {
	if e.Bypass != "" {
		return c.editBypass(sections, e)
	}
	if e.Path == "" {
		return c.editInterface(sections, e)
	}
	if c.Interface.Role == Remote {
		return nil, &misfit{problem: "the remote portal learns of paths from the local one", allowed: "the same on the local portal"}
	}
	at := slices.IndexFunc(sections, func(s section) bool {
		return s.is("Path") && strings.EqualFold(s.entries[s.find("Name")].value, e.Path)
	})
	if e.Do == Add {
		if at >= 0 {
			return nil, &misfit{problem: "there is one of this name", allowed: "another name, or set"}
		}
		return addPath(sections, e)
	}
	if at < 0 {
		return nil, &misfit{problem: "there is none", allowed: strings.Join(c.pathNames(), ", ")}
	}
	if e.Do == Remove {
		if !c.othersServe(e.Path) {
			return nil, &misfit{problem: "no other one is in use", allowed: "add another one first, or set one up; or: netcombiner down IFACE"}
		}
		if c.isBypassed(e.Path) { // whose Via would then be taken for an interface
			return nil, &misfit{problem: "a bypass goes by it", allowed: "remove the bypass first, or both from the file, and reload"}
		}
		return slices.Delete(sections, at, at+1), nil
	}
	return sections, sections[at].set(e.Settings, LivePath, true)
}

func (c *Config) editInterface(sections []section, e Edit) ([]section, *misfit) {
	if e.Do != Set {
		return nil, &misfit{problem: "cannot be added or removed", allowed: "path NAME, bypass PREFIX"}
	}
	at := slices.IndexFunc(sections, func(s section) bool { return s.is("Interface") })
	return sections, sections[at].set(e.Settings, LiveInterface, false)
}

func addPath(sections []section, e Edit) ([]section, *misfit) {
	s := section{name: "Path", line: lastLine(sections) + 1}
	s.entries = []entry{{"Name", e.Path, s.line}}
	for _, g := range e.Settings {
		if strings.EqualFold(g.Key, "Name") {
			return nil, &misfit{key: "Name", problem: "given already", allowed: "path NAME"}
		}
		s.entries = append(s.entries, entry{g.Key, g.Value, s.line})
	}
	return append(sections, s), nil
}

// lastLine is the last line of a section: a new one stands behind it.
func lastLine(sections []section) (last int) {
	for _, s := range sections {
		last = max(last, s.line)
	}
	return last
}

func (c *Config) pathNames() (all []string) {
	for _, p := range c.Paths {
		all = append(all, p.Name)
	}
	return all
}

// othersServe says that another path than the named one is there and not down.
func (c *Config) othersServe(name string) bool {
	return slices.ContainsFunc(c.Paths, func(p Path) bool { return !p.Down && !strings.EqualFold(p.Name, name) })
}

// isBypassed says that a [Bypass] names the path as its Via.
func (c *Config) isBypassed(name string) bool {
	return slices.ContainsFunc(c.Bypasses, func(b Bypass) bool { return strings.EqualFold(b.Via, name) })
}

func (s *section) is(name string) bool { return strings.EqualFold(s.name, name) }

func (s *section) find(key string) int {
	return slices.IndexFunc(s.entries, func(e entry) bool { return strings.EqualFold(e.key, key) })
}

// set gives s the values of live keys. A path also knows up and down.
func (s *section) set(settings []Setting, live []string, path bool) *misfit {
	allowed := strings.Join(live, ", ")
	if path {
		allowed += ", up, down"
	}
	given := make(map[string]bool)
	for _, g := range settings {
		key := strings.ToLower(g.Key)
		if given[key] {
			return &misfit{key: quote(g.Key), problem: "given twice", allowed: "once"}
		}
		given[key] = true
		if path && (key == up || key == down) {
			if g.Value != "" {
				return &misfit{key: key, value: g.Value, problem: "takes no value", allowed: key}
			}
			s.down = key == down
			continue
		}
		i := slices.IndexFunc(live, func(l string) bool { return strings.EqualFold(l, key) })
		if i < 0 {
			return &misfit{key: quote(g.Key), problem: "cannot be set while the tunnel runs", allowed: allowed}
		}
		s.put(live[i], g.Value)
	}
	switch {
	case len(given) == 0:
		return &misfit{problem: "no key to set", allowed: allowed}
	case given[up] && given[down]:
		return &misfit{key: up, problem: "given beside down", allowed: "one of the two"}
	}
	return nil
}

// put gives a key another value.
func (s *section) put(key, value string) {
	i := s.find(key)
	switch {
	case strings.EqualFold(value, Default) && i >= 0:
		s.entries = slices.Delete(s.entries, i, i+1)
	case strings.EqualFold(value, Default):
	case i >= 0:
		s.entries[i].value = value
	default:
		s.entries = append(s.entries, entry{key, value, s.line})
	}
}

// Reload returns what a tunnel that runs with c takes over of a file that was
// parsed anew: all, but for the keys of [Interface] that only a start reads; of
// these, restart names the ones that differ. What Edit changed since is as the file
// has it. The error is an Errors; then c is all that there is.
func (c *Config) Reload(file *Config) (next *Config, restart []string, err error) {
	own := c.named()
	sections := slices.DeleteFunc(slices.Clone(own), func(s section) bool { return !s.is("Interface") })
	for _, key := range LiveInterface {
		sections[0].put(key, file.valueOf(key))
	}
	rest := file.source.sections
	if file.Interface.Role != c.Interface.Role {
		rest = own // the sections of the other role mean nothing here
	}
	for _, s := range rest {
		if !s.is("Interface") {
			sections = append(sections, s)
		}
	}
	next, errs := c.rebuild(sections)
	if len(errs) > 0 {
		return nil, nil, errs
	}
	return next, differing(next.Interface, file.Interface), nil
}

// valueOf is what stands in [Interface] for key, or Default.
func (c *Config) valueOf(key string) string {
	for _, s := range c.source.sections {
		if i := s.find(key); i >= 0 && s.is("Interface") {
			return s.entries[i].value
		}
	}
	return Default
}
