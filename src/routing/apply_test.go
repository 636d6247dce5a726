package routing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netcombiner/src/config"
)

// fake is a system in memory, which can be made to die at any change.
type fake struct {
	t       *testing.T
	host    Host
	there   map[string]bool // objects, by the command that makes them
	sysctls map[string]string
	changes int
	dieAt   int // the change at which the process is killed; 0: none
	dieLate bool
	failAt  int // the change that the kernel refuses
	forgot  []forgotten
}

var errKilled = errors.New("killed")

func newFake(t *testing.T, host Host) *fake {
	f := &fake{t: t, host: host, there: map[string]bool{}, sysctls: map[string]string{}}
	for _, v6 := range []bool{false, true} {
		f.there[key(Step{Rule: &Rule{V6: v6, Table: tableLocal, System: true}})] = true
	}
	maps.Copy(f.sysctls, host.Sysctl)
	f.sysctls["net/ipv6/conf/all/forwarding"] = "0"
	f.sysctls["net/ipv6/conf/docker0/forwarding"] = "1"
	for _, l := range append(host.Links, Link{Name: "nc1"}) {
		f.sysctls["net/ipv4/conf/"+l.Name+"/forwarding"] = "0"
		f.sysctls["net/ipv4/conf/"+l.Name+"/arp_ignore"] = "0"
		f.sysctls["net/ipv4/conf/"+l.Name+"/arp_announce"] = "0"
		f.sysctls["net/ipv4/neigh/"+l.Name+"/proxy_delay"] = "80"
	}
	return f
}

// key is that of the object of a step: a rule taken away is a rule.
func key(s Step) string {
	if s.NoRule != nil {
		s = Step{Rule: s.NoRule}
	}
	return s.key()
}

func (f *fake) state() map[string]string {
	state := maps.Clone(f.sysctls)
	for object := range f.there {
		state[object] = "there"
	}
	return state
}

func (f *fake) boot() (string, error)            { return "boot", nil }
func (f *fake) lock(string) (func(), error)      { return func() {}, nil }
func (f *fake) check([]Step) error               { return nil }
func (f *fake) warnings(string, []Step) []string { return nil }
func (f *fake) needs(s Spec) bool                { return s.Mode != config.RoutingNone }
func (f *fake) plan(s Spec, h Host, slot int, _ ...index) (planned, error) {
	steps, err := Plan(s, h, slot)
	return planned{steps: steps}, err
}
func (f *fake) watch(context.Context, func(string) bool) (<-chan struct{}, error) { return nil, nil }
func (f *fake) present(s Step) (bool, error)                                      { return f.there[key(s)], nil }
func (f *fake) forget(g forgotten) error                                          { f.forgot = append(f.forgot, g); return nil }
func (f *fake) setFamilies([]config.NFTSet) map[config.NFTSet]string              { return f.host.Sets }
func (f *fake) snapshot() (Host, error) {
	h := f.host
	h.Sysctl = map[string]string{}
	for _, k := range h.sysctlsRead() {
		if value, ok := f.sysctls[k]; ok {
			h.Sysctl[k] = value
		}
	}
	return h, nil
}

func (f *fake) sysctl(k string) (string, map[string]string, error) {
	value, ok := f.sysctls[k]
	if !ok {
		return "", nil, os.ErrNotExist
	}
	siblings := map[string]string{}
	if k == forwarding6 {
		for other, old := range f.sysctls {
			if strings.HasPrefix(other, "net/ipv6/conf/") && strings.HasSuffix(other, "/forwarding") && other != k {
				siblings[other] = old
			}
		}
	}
	return value, siblings, nil
}

func (f *fake) set(k, value string) {
	f.sysctls[k] = value
	if k == forwarding6 {
		for other := range f.sysctls {
			if strings.HasPrefix(other, "net/ipv6/conf/") && strings.HasSuffix(other, "/forwarding") {
				f.sysctls[other] = value
			}
		}
	}
}

func (f *fake) make(s Step) error   { return f.change(s, false) }
func (f *fake) unmake(s Step) error { return f.change(s, true) }

func (f *fake) change(s Step, undo bool) error {
	f.changes++
	if f.changes == f.failAt {
		return errors.New("the kernel says no")
	}
	if f.changes == f.dieAt && !f.dieLate {
		panic(errKilled)
	}
	switch {
	case s.Sysctl != nil && !undo:
		if !s.Sysctl.satisfied(f.sysctls[s.Sysctl.Key]) {
			f.set(s.Sysctl.Key, s.Sysctl.Value)
		}
	case s.Sysctl != nil:
		if f.sysctls[s.Sysctl.Key] == s.Sysctl.Value {
			f.set(s.Sysctl.Key, s.Sysctl.Old)
			maps.Copy(f.sysctls, s.Sysctl.Siblings)
		}
	case undo == (s.NoRule != nil):
		f.there[key(s)] = true
	default:
		delete(f.there, key(s))
	}
	for _, v6 := range []bool{false, true} {
		if !f.there[key(Step{Rule: &Rule{V6: v6, Table: tableLocal}})] && !f.there[key(Step{Rule: &Rule{V6: v6, Priority: prioLocal, Table: tableLocal}})] {
			f.t.Fatalf("after %q (undone: %v) no rule leads to the local table", s, undo)
		}
	}
	if f.changes == f.dieAt && f.dieLate {
		panic(errKilled)
	}
	return nil
}

// alive runs what may be killed, and says whether it was not.
func alive(work func()) (ok bool) {
	defer func() {
		if r := recover(); r != nil && r != errKilled {
			panic(r)
		} else if r == nil {
			ok = true
		}
	}()
	work()
	return
}

// every calls f with each combination of mode and end.
func every(t *testing.T, f func(t *testing.T, spec Spec, host Host)) {
	for _, mode := range []config.Routing{config.RoutingNAT, config.RoutingPortal} {
		t.Run("local-"+string(mode), func(t *testing.T) { t.Parallel(); f(t, localSpec(mode), router()) })
		t.Run("local-bypass-"+string(mode), func(t *testing.T) { t.Parallel(); f(t, bypassSpec(mode), bypassHost()) })
		t.Run("remote-"+string(mode), func(t *testing.T) { t.Parallel(); f(t, remoteSpec(mode), vps()) })
	}
}

// A process may be killed before or after any change, of Apply, of Undo and of
// the Cleanup that follows: one Cleanup that is not killed puts all right.
func TestKilledAnywhere(t *testing.T) {
	every(t, func(t *testing.T, spec Spec, host Host) {
		for at := 1; ; at++ {
			finished := 0
			for _, late := range []bool{false, true} {
				f := newFake(t, host)
				before := f.state()
				dir := t.TempDir()
				f.dieAt, f.dieLate = at, late
				if alive(func() {
					r, err := apply(f, dir, spec)
					if err == nil {
						err = r.Undo()
					}
					if err != nil {
						t.Fatal(err)
					}
				}) {
					finished++
				} else {
					// The next Cleanup is killed, too, at its third change.
					f.changes, f.dieAt = 0, 3
					alive(func() { _, _ = cleanup(f, dir, "nc0") })
					f.dieAt = 0
					if _, err := cleanup(f, dir, "nc0"); err != nil {
						t.Fatal(err)
					}
				}
				if diff := cmp.Diff(before, f.state()); diff != "" {
					t.Fatalf("killed at change %d (after it: %v), not as it was:\n%s", at, late, diff)
				}
				if left, _ := os.ReadDir(dir); len(left) > 0 {
					t.Fatalf("left: %v", left)
				}
			}
			if finished == 2 {
				if at < 10 {
					t.Fatalf("only %d changes: the test shows little", at)
				}
				return
			}
		}
	})
}

// A start after a kill at any change finds the ruleset still there, if it was,
// and puts all right, whether it comes to its Apply or not.
func TestInherit(t *testing.T) {
	every(t, func(t *testing.T, spec Spec, host Host) {
		probe := newFake(t, host)
		if _, err := apply(probe, t.TempDir(), spec); err != nil {
			t.Fatal(err)
		}
		ruleset := Step{Ruleset: &Ruleset{Name: "netcombiner-nc0"}}.key()
		keptOnce := false
		for at := 1; at <= probe.changes+1; at++ { // at last only after all of them
			for _, goesOn := range []bool{true, false} {
				f := newFake(t, host)
				before := f.state()
				dir := t.TempDir()
				f.dieAt = at
				alive(func() { _, _ = apply(f, dir, spec) })
				f.dieAt = 0
				left := f.there[ruleset]
				kept, err := inherit(f, dir, "nc0")
				if err != nil {
					t.Fatal(err)
				}
				if f.there[ruleset] != left || left && !kept {
					t.Fatalf("killed at change %d: the ruleset was there: %v, is there: %v, kept: %v", at, left, f.there[ruleset], kept)
				}
				keptOnce = keptOnce || left
				delete(before, ruleset)
				now := f.state()
				delete(now, ruleset)
				if diff := cmp.Diff(before, now); diff != "" {
					t.Fatalf("killed at change %d, but for the ruleset not as it was:\n%s", at, diff)
				}
				if goesOn {
					var r *Routing
					if r, err = apply(f, dir, spec); err == nil {
						err = r.Undo()
					}
				} else {
					_, err = cleanup(f, dir, "nc0")
				}
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before, f.state()); diff != "" {
					t.Fatalf("killed at change %d, Apply: %v, not as it was:\n%s", at, goesOn, diff)
				}
				if files, _ := os.ReadDir(dir); len(files) > 0 {
					t.Fatalf("left: %v", files)
				}
			}
		}
		if keptOnce != probe.there[ruleset] {
			t.Errorf("the plan has a ruleset: %v, kept: %v", probe.there[ruleset], keptOnce)
		}
	})
}

// The kernel may refuse any change: then Apply undoes the others and says so.
func TestRefusedAnywhere(t *testing.T) {
	every(t, func(t *testing.T, spec Spec, host Host) {
		probe := newFake(t, host)
		if _, err := apply(probe, t.TempDir(), spec); err != nil {
			t.Fatal(err)
		}
		refused := 0
		for at := 1; at <= probe.changes; at++ {
			f := newFake(t, host)
			f.failAt = at
			before := f.state()
			if _, err := apply(f, t.TempDir(), spec); err == nil {
				continue // an optional one
			} else if !strings.Contains(err.Error(), "the kernel says no") {
				t.Fatal(err)
			}
			refused++
			if diff := cmp.Diff(before, f.state()); diff != "" {
				t.Fatalf("refused at change %d, not as it was:\n%s", at, diff)
			}
		}
		if refused < 4 {
			t.Errorf("only %d changes were refused: the test shows little", refused)
		}
	})
}

// Two tunnels on a host share some changes: the last one to end undoes them.
func TestTwoTunnels(t *testing.T) {
	every(t, func(t *testing.T, spec Spec, host Host) {
		for _, firstEndsFirst := range []bool{true, false} {
			f := newFake(t, host)
			before := f.state()
			dir := t.TempDir()
			second := spec
			second.Interface = "nc1"
			a, err := apply(f, dir, spec)
			if err != nil {
				t.Fatal(err)
			}
			withA := f.state()
			b, err := apply(f, dir, second)
			if err != nil {
				t.Fatal(err)
			}
			// An event in between changes nothing.
			for r, s := range map[*Routing]Spec{a: spec, b: second} {
				was := text(r.Steps())
				if err := r.Refresh(s); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(was, text(r.Steps())); diff != "" {
					t.Errorf("Refresh changed what is in force:\n%s", diff)
				}
			}
			order := []*Routing{a, b}
			if !firstEndsFirst {
				slices.Reverse(order)
			}
			if err := order[0].Undo(); err != nil {
				t.Fatal(err)
			}
			if !firstEndsFirst {
				if diff := cmp.Diff(withA, f.state()); diff != "" {
					t.Errorf("the second took something of the first's with it:\n%s", diff)
				}
			}
			if err := order[1].Undo(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, f.state()); diff != "" {
				t.Errorf("not as it was:\n%s", diff)
			}
		}
	})
}

// What somebody else has made is not undone, and what somebody else has
// changed since is not put back.
func TestForeignChangesStay(t *testing.T) {
	f := newFake(t, vps())
	dir := t.TempDir()
	spec := remoteSpec(config.RoutingPortal)
	users := Step{Rule: &Rule{Priority: prioKept, To: whole(addr("203.0.113.2")), Proto: protoTCP, Port: 22, Table: tableLocal}}
	f.there[key(users)] = true
	f.sysctls["net/ipv4/conf/eth0/forwarding"] = "1"
	f.sysctls["net/ipv4/conf/eth0/arp_ignore"] = "2"
	r, err := apply(f, dir, spec)
	if err != nil {
		t.Fatal(err)
	}
	if f.sysctls["net/ipv4/conf/eth0/arp_ignore"] != "2" {
		t.Error("arp_ignore was lowered")
	}
	f.sysctls["net/ipv4/conf/eth0/arp_announce"] = "1" // by the user, meanwhile
	if err := r.Undo(); err != nil {
		t.Fatal(err)
	}
	if !f.there[key(users)] {
		t.Error("a rule of the user's was deleted")
	}
	for k, want := range map[string]string{"forwarding": "1", "arp_ignore": "2", "arp_announce": "1"} {
		if got := f.sysctls["net/ipv4/conf/eth0/"+k]; got != want {
			t.Errorf("%s = %s, want %s", k, got, want)
		}
	}
}

func TestRefreshFollowsTheHost(t *testing.T) {
	f := newFake(t, router())
	before := f.state()
	dir := t.TempDir()
	spec := localSpec(config.RoutingNAT)
	r, err := apply(f, dir, spec)
	if err != nil {
		t.Fatal(err)
	}
	lte := f.host.link("lte")
	lte.Addrs = prefixes("198.51.100.9/24")
	if err := r.Refresh(spec); err != nil {
		t.Fatal(err)
	}
	if steps := text(r.Steps()); strings.Contains(steps, "oif lte") || strings.Contains(steps, "198.51.100.2/32") {
		t.Errorf("the WAN is known by an address that is gone:\n%s", steps)
	}
	spec.WANs[1].Source = addr("198.51.100.9")
	if err := r.Refresh(spec); err != nil {
		t.Fatal(err)
	}
	if steps := text(r.Steps()); !strings.Contains(steps, "from 198.51.100.9/32") {
		t.Errorf("the new address has no rule:\n%s", steps)
	}
	if err := r.Undo(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, f.state()); diff != "" {
		t.Errorf("not as it was:\n%s", diff)
	}
}

func TestJournal(t *testing.T) {
	dir := t.TempDir()
	path := journalPath(dir, "nc0")
	spec := remoteSpec(config.RoutingPortal)

	// Of another boot: nothing of it is left to undo.
	(&journal{Interface: "nc0", Boot: "earlier", Steps: []Step{{NoRule: &Rule{Table: tableLocal}}}}).write(path)
	f := newFake(t, vps())
	if undone, err := cleanup(f, dir, "nc0"); err != nil || f.changes != 0 || len(undone) > 0 {
		t.Errorf("a journal of another boot: %v, %d changes, %q", err, f.changes, undone)
	}

	// A second start does not take the first one's routing over.
	r, err := apply(f, dir, spec)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := apply(f, dir, spec); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second start: %v", err)
	}
	if err := r.Undo(); err != nil {
		t.Fatal(err)
	}

	// Damaged: said so, with the file's name.
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := cleanup(f, dir, "nc0"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged journal: %v", err)
	}
	if _, err := cleanup(f, dir, "../nc0"); err == nil {
		t.Error("a name that leaves the directory is accepted")
	}
	if _, err := cleanup(f, filepath.Join(dir, "absent"), "nc0"); err != nil {
		t.Errorf("no directory at all: %v", err)
	}
}

func TestNoneTouchesNothing(t *testing.T) {
	f := newFake(t, router())
	dir := filepath.Join(t.TempDir(), "absent")
	r, err := apply(f, dir, localSpec(config.RoutingNone))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Refresh(localSpec(config.RoutingNone)), r.Undo()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); f.changes != 0 || !errors.Is(err, os.ErrNotExist) || len(r.Warnings()) > 0 {
		t.Errorf("%d changes, %v", f.changes, err)
	}
}

func TestSlots(t *testing.T) {
	var others []*journal
	for want := range 4 {
		if got := freeSlot(others); got != want {
			t.Fatalf("slot %d, want %d", got, want)
		}
		others = slices.Insert(others, 0, &journal{Interface: fmt.Sprint("nc", want), Slot: want})
	}
	others = slices.Delete(others, 2, 3) // slot 1
	if got := freeSlot(others); got != 1 {
		t.Errorf("slot %d, want the free 1", got)
	}
}
