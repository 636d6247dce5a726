package config

import (
	"net/netip"
	"slices"
	"strings"
)

// editBypass adds a prefix to what goes straight out of a WAN, or takes one out
// of it. An added one stands with others of the same kind in one section.
func (c *Config) editBypass(sections []section, e Edit) ([]section, *misfit) {
	if c.Interface.Role == Remote {
		return nil, &misfit{problem: "means nothing on a remote portal", allowed: "the same on the local portal"}
	}
	to, err := parseDestination(e.Bypass)
	if err != nil {
		return nil, misfitOf("To", e.Bypass, err)
	}
	switch e.Do {
	case Add:
		return addBypass(sections, to, e.Settings)
	case Remove:
		return removeBypass(sections, to)
	}
	return nil, &misfit{problem: "cannot be set", allowed: "remove it, then add it"}
}

func misfitOf(key, value string, err error) *misfit {
	m := &misfit{key: key, value: value, problem: err.Error()}
	if f, ok := err.(*fault); ok {
		m.problem, m.allowed = f.problem, f.allowed
	}
	return m
}

func addBypass(sections []section, to netip.Prefix, settings []Setting) ([]section, *misfit) {
	s := section{name: "Bypass", line: lastLine(sections) + 1}
	s.entries = []entry{{"To", to.String(), s.line}}
	given := map[string]bool{"to": true}
	for _, g := range settings {
		key := strings.ToLower(g.Key)
		if given[key] {
			return nil, &misfit{key: quote(g.Key), problem: "given twice", allowed: "once"}
		}
		given[key] = true
		s.entries = append(s.entries, entry{g.Key, g.Value, s.line})
	}
	for i := range sections {
		if !sections[i].is("Bypass") {
			continue
		}
		if slices.Contains(sections[i].destinations(), to) {
			return nil, &misfit{problem: "there is one of this prefix", allowed: "remove it first"}
		}
	}
	for i := range sections {
		if others := sections[i].destinations(); s.like(&sections[i]) && len(others) > 0 && len(others) < maxList {
			sections[i].put("To", join(append(others, to)))
			return sections, nil
		}
	}
	return append(sections, s), nil
}

func removeBypass(sections []section, to netip.Prefix) ([]section, *misfit) {
	for i := range sections {
		rest := sections[i].destinations()
		at := slices.Index(rest, to)
		switch {
		case at < 0:
		case len(rest) > 1:
			sections[i].put("To", join(slices.Delete(rest, at, at+1)))
			return sections, nil
		default:
			return slices.Delete(sections, i, i+1), nil
		}
	}
	return nil, &misfit{problem: "there is none of this prefix", allowed: "what stands in a To, word for word (netcombiner show)"}
}

// destinations are what stands in the To of a [Bypass].
func (s *section) destinations() []netip.Prefix {
	i := s.find("To")
	if i < 0 || !s.is("Bypass") {
		return nil
	}
	all, _ := list(s.entries[i].value, parseDestination)
	return all
}

// like says that two sections differ in To at most.
func (s *section) like(other *section) bool {
	return s.is(other.name) && len(s.entries) == len(other.entries) && !slices.ContainsFunc(s.entries, func(e entry) bool {
		i := other.find(e.key)
		return i < 0 || !strings.EqualFold(e.key, "To") && !strings.EqualFold(e.value, other.entries[i].value)
	})
}

func join(prefixes []netip.Prefix) string {
	words := make([]string, len(prefixes))
	for i, p := range prefixes {
		words[i] = p.String()
	}
	return strings.Join(words, ", ")
}
