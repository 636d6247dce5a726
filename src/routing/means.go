package routing

import (
	"fmt"

	"netcombiner/src/tundevice"
)

// Mean is something of the host's by which routing is done.
type Mean struct {
	Name    string
	Found   string // how it is, half a sentence
	Missing error  // why it cannot be used, and what to do; nil: it can
}

// Try says what Apply would do for spec, and what Notes would then say, and changes
// nothing. Its error is that of Apply. dir is as there.
func Try(dir string, spec Spec) (steps []Step, notes []string, err error) {
	return try(host(), dir, spec)
}

func try(sys system, dir string, spec Spec) (steps []Step, notes []string, err error) {
	if err := tundevice.CheckName(spec.Interface); err != nil {
		return nil, nil, err
	}
	if !sys.needs(spec) {
		return nil, nil, nil
	}
	boot, err := sys.boot()
	if err != nil {
		return nil, nil, err
	}
	r := &Routing{system: sys, dir: dir, journal: journal{Interface: spec.Interface, Boot: boot}}
	left, err := readJournal(r.path(), boot)
	if err != nil {
		return nil, nil, err
	}
	if left != nil {
		r.journal.Steps = left.Steps
	}
	others, err := readJournals(dir, spec.Interface, boot)
	if err != nil {
		return nil, nil, err
	}
	r.journal.Slot = freeSlot(others)
	host, err := r.look(spec, stepsOf(others))
	if err == nil {
		steps, err = r.wanted(spec, host, stepsOf(others))
	}
	return steps, r.notes, err
}

// means are those of a FreeBSD host.
func (b *bsd) means() []Mean {
	pf := Mean{Name: "pf", Found: "on, and it asks our rules"}
	seen := b.lookAtPF("nc0")
	pf.Missing = seen.ready("Routing = nat or portal, or Egress = pf,", true, true)
	forward := Mean{Name: "forwarding"}
	value, err := b.calls.sysctl(bsdForward4)
	forward.Found, forward.Missing = fmt.Sprintf("%s is %s, and is switched on where Routing needs it", bsdForward4, value), err
	return []Mean{pf, forward}
}

// lend has the last FIB lead to a subnet by a device; see LendFIB.
func (b *bsd) lend(route Route) (fib int, giveBack func() error, err error) {
	fibs, err := b.fibs()
	if err != nil {
		return 0, nil, err
	}
	if fibs < 2 {
		return 0, nil, fmt.Errorf("net.fibs = %d, so that no WAN can have a FIB of its own: for two WANs %s; or leave it to pf", fibs, fmt.Sprintf(fibsNeeded, 3))
	}
	route.Table = uint32(fibs - 1)
	if there, err := b.present(Step{FIB: &route}); err != nil || there {
		return fibs - 1, func() error { return nil }, err
	}
	if err := b.changeRoute(route, true); err != nil {
		return 0, nil, fmt.Errorf("%s: %w", fibCommand(&route, "add"), err)
	}
	return fibs - 1, func() error { return b.changeRoute(route, false) }, nil
}
