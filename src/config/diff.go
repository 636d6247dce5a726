package config

import (
	"reflect"
	"slices"
)

// Changes is what leads from one configuration of a tunnel to another.
type Changes struct {
	Scheduler bool
	// Paths and listeners, in the order of their files. A path is the same where
	// its name, transport and protocol are, a listener where all but Allow is.
	AddPaths, RemovePaths     []Path
	SetPaths                  []Path // as they are to be
	AddListens, RemoveListens []Listen
	SetListens                []Listen // as they are to be
}

// Empty says that there is nothing to do.
func (c *Changes) Empty() bool {
	return !c.Scheduler && len(c.AddPaths)+len(c.RemovePaths)+len(c.SetPaths)+
		len(c.AddListens)+len(c.RemoveListens)+len(c.SetListens) == 0
}

// Diff compares what the portal of a tunnel that runs can change: bypasses and
// Fallback are the routing's. The rest of [Interface] is to be the same; see Reload.
func Diff(from, to *Config) (c Changes) {
	c.Scheduler = from.Interface.Scheduler != to.Interface.Scheduler
	c.AddPaths, c.RemovePaths, c.SetPaths = compare(from.Paths, to.Paths, SamePath)
	c.AddListens, c.RemoveListens, c.SetListens = compare(from.Listens, to.Listens, SameListen)
	return c
}

// SamePath says that a running path can become the other one.
func SamePath(a, b Path) bool {
	return a.Name == b.Name && a.Transport == b.Transport && a.Protocol == b.Protocol
}

// SameListen says that a listener can become the other one.
func SameListen(a, b Listen) bool {
	return a.Transport == b.Transport && a.Protocol == b.Protocol && a.Address == b.Address
}

func compare[T any](from, to []T, same func(a, b T) bool) (added, removed, set []T) {
	for _, t := range to {
		i := slices.IndexFunc(from, func(f T) bool { return same(f, t) })
		switch {
		case i < 0:
			added = append(added, t)
		case !reflect.DeepEqual(from[i], t):
			set = append(set, t)
		}
	}
	for _, f := range from {
		if !slices.ContainsFunc(to, func(t T) bool { return same(f, t) }) {
			removed = append(removed, f)
		}
	}
	return added, removed, set
}

// differing names the keys in which two [Interface] sections differ. Where the
// key was read from is no difference.
func differing(a, b Interface) (keys []string) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		name := x.Type().Field(i).Name // that of the key
		if name != "KeyFile" && !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			keys = append(keys, name)
		}
	}
	return keys
}
