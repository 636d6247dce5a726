package routing

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"

	"netcombiner/src/config"
	"netcombiner/src/tundevice"
)

// system is the host's kernel, or in tests a double of it. make and unmake may
// be called again: what is there already, or gone already, is no error.
type system interface {
	// needs says whether there may be something to do for what spec asks for.
	needs(spec Spec) bool
	// plan is what spec needs on host; see Plan. made are the steps in force.
	plan(spec Spec, host Host, slot int, made ...index) (planned, error)
	boot() (string, error)
	// lock waits until no other process is at work on the same directory.
	lock(dir string) (unlock func(), err error)
	// snapshot reads the host but for Sets, with sysctls as they are now.
	snapshot() (Host, error)
	// check reports what a step of the plan needs and the host lacks.
	check(steps []Step) error
	// present says whether a step's object is there now, whoever made it; for
	// a NoRule: whether the rule is. Nobody asks for routes.
	present(Step) (bool, error)
	sysctl(key string) (value string, siblings map[string]string, err error)
	// forget makes the host's connection tracking forget what is meant.
	forget(forgotten) error
	make(Step) error
	unmake(Step) error
	// setFamilies looks nft sets up; see Host.Sets.
	setFamilies(sets []config.NFTSet) map[config.NFTSet]string
	// warnings looks for what may stop the tunnel's packets.
	warnings(iface string, steps []Step) []string
	// watch tells when to ask whether the routing is Intact; see Watch.
	watch(ctx context.Context, concerns func(table string) bool) (<-chan struct{}, error)
}

// Routing is what one tunnel has changed. Its methods may be called from any
// goroutine, in the network namespace of the tunnel.
type Routing struct {
	mu      sync.Mutex
	system  system
	dir     string
	journal journal
	beside  besides // what goes beside the tunnel now
	stands  []Standing
	named   []config.NFTSet          // that bypasses ask for…
	sets    map[config.NFTSet]string // …and of which these were there: as Host's
	lacking error                    // what could not be done, though the tunnel works without
	fibs    map[WAN]int              // FreeBSD: of sockets that are bound so
	notes   []string
	partial bool // see planned
}

// Needed says whether a configuration asks for something of the host's routing,
// or may once it has changed: without, there is no need of an Apply.
func Needed(c *config.Config) bool { return host().needs(SpecOf("", c)) }

// Apply carries out what spec asks for. When it fails it has undone all. dir
// is where journals are: control.Dir, but in tests.
func Apply(dir string, spec Spec) (*Routing, error) { return apply(host(), dir, spec) }

// Cleanup undoes what a killed process left of the tunnel's routing, if there
// is something. undone are the commands that would have done the same, in
// order.
func Cleanup(dir, iface string) (undone []string, err error) { return cleanup(host(), dir, iface) }

// Inherit does what Cleanup does before a start, but leaves the ruleset to the
// Apply that follows, which replaces it in one transaction. Without any for a
// moment, the kernel would answer the segments of translated connections with
// resets of its own, and lose track of what their ends have sent: it would then
// take the acknowledgements of what was lost meanwhile for invalid and never
// translate one again. kept says that there is a ruleset, which Cleanup still
// undoes if it does not come to an Apply.
func Inherit(dir, iface string) (kept bool, err error) { return inherit(host(), dir, iface) }

func apply(sys system, dir string, spec Spec) (*Routing, error) {
	if err := tundevice.CheckName(spec.Interface); err != nil {
		return nil, err
	}
	r := &Routing{system: sys, dir: dir, journal: journal{Interface: spec.Interface}}
	if !sys.needs(spec) {
		return r, nil // hands off
	}
	boot, err := sys.boot()
	if err != nil {
		return nil, err
	}
	r.journal.Boot = boot
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("the directory for the routing journal: %w", err)
	}
	unlock, err := sys.lock(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if left, err := readJournal(r.path(), boot); err != nil {
		return nil, err
	} else if left != nil {
		if slices.ContainsFunc(left.Steps, func(s Step) bool { return !s.stays() }) {
			return nil, fmt.Errorf("interface %s: its routing is there already (%s): another process runs the tunnel, or Inherit was not called", spec.Interface, r.path())
		}
		r.journal.Steps = left.Steps
	}
	others, err := readJournals(dir, spec.Interface, boot)
	if err != nil {
		return nil, err
	}
	r.journal.Slot = freeSlot(others)
	if err := r.reconcile(spec, stepsOf(others)); err != nil {
		return nil, errors.Join(err, r.undo(stepsOf(others)))
	}
	return r, nil
}

// Refresh carries out what has changed: in spec, or on the host since the last
// time. Mode, Role and Interface stay. What fails is tried again next time.
func (r *Routing) Refresh(spec Spec) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.system.needs(spec) && len(r.journal.Steps) == 0 {
		return nil
	}
	unlock, err := r.system.lock(r.dir)
	if err != nil {
		return err
	}
	defer unlock()
	others, err := readJournals(r.dir, r.journal.Interface, r.journal.Boot)
	if err != nil {
		return err
	}
	if err := r.reconcile(spec, stepsOf(others)); err != nil {
		return err
	}
	return r.lacking
}

// Undo takes everything back. It may be called again after an error.
func (r *Routing) Undo() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.journal.Steps) == 0 {
		return nil
	}
	unlock, err := r.system.lock(r.dir)
	if err != nil {
		return err
	}
	defer unlock()
	others, err := readJournals(r.dir, r.journal.Interface, r.journal.Boot)
	if err != nil {
		return err
	}
	return r.undo(stepsOf(others))
}

// Steps are the changes in force, in the order in which they were made.
func (r *Routing) Steps() []Step {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.journal.Steps)
}

// Bypasses tells how each [Bypass] was when the routing was last looked at, in
// the order of the spec.
func (r *Routing) Bypasses() []Standing {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.stands)
}

// FIB is, on FreeBSD, the routing table by which the packets of a socket leave
// that is bound to a device, to an address, or not at all (both zero): for
// SO_SETFIB. ok is false where that of the process will do, and on Linux. It is
// known once Apply has returned, and may change with each Refresh. NoFIB: nobody
// knows where the WAN leads, so nothing may leave by it.
func (r *Routing) FIB(device string, source netip.Addr) (fib int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fib, ok = r.fibs[WAN{Device: device}]; device != "" {
		return fib, ok
	}
	fib, ok = r.fibs[WAN{Source: source}]
	return fib, ok
}

// Notes says what is not as the configuration has it since the last look at the
// host, a sentence each: a WAN without a gateway.
func (r *Routing) Notes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.notes)
}

// Warnings says what on the host may stop the tunnel's packets, a sentence
// each. It changes nothing.
func (r *Routing) Warnings() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.journal.Steps) == 0 {
		return nil
	}
	list := r.system.warnings(r.journal.Interface, r.journal.Steps)
	if r.lacking != nil {
		list = append(list, r.lacking.Error())
	}
	return list
}

func (r *Routing) path() string { return journalPath(r.dir, r.journal.Interface) }

// undo takes back what the journal says, and keeps in it what it could not.
func (r *Routing) undo(shared index) error {
	if err := r.unmakeAll(r.journal.Steps, shared); err != nil {
		return err
	}
	r.journal.Steps = nil
	return r.dropJournal()
}

func (r *Routing) dropJournal() error {
	if err := os.Remove(r.path()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the routing journal: %w", err)
	}
	return nil
}

func cleanup(sys system, dir, iface string) (undone []string, err error) {
	err = withLeft(sys, dir, iface, func(r *Routing, shared index) error {
		for _, step := range slices.Backward(r.journal.Steps) {
			if !shared.has(step) {
				undone = append(undone, firstLine(step.Inverse()))
			}
		}
		return r.undo(shared)
	})
	if err != nil {
		return nil, err
	}
	return undone, nil
}

func inherit(sys system, dir, iface string) (kept bool, err error) {
	err = withLeft(sys, dir, iface, func(r *Routing, shared index) error {
		var rulesets, rest []Step
		for _, step := range r.journal.Steps {
			if step.stays() {
				rulesets = append(rulesets, step)
			} else {
				rest = append(rest, step)
			}
		}
		if len(rulesets) == 0 {
			return r.undo(shared)
		}
		kept = true
		if err := r.unmakeAll(rest, shared); err != nil {
			return err
		}
		r.journal.Steps = rulesets
		return r.journal.write(r.path())
	})
	return kept, err
}

// withLeft calls do with what a killed process left, and with the steps of the
// host's other tunnels. Where nothing was left it does nothing.
func withLeft(sys system, dir, iface string, do func(r *Routing, shared index) error) error {
	if err := tundevice.CheckName(iface); err != nil {
		return err
	}
	boot, err := sys.boot()
	if err != nil {
		return err
	}
	if _, err := os.Stat(journalPath(dir, iface)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	unlock, err := sys.lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	left, err := readJournal(journalPath(dir, iface), boot)
	if err != nil {
		return err
	}
	if left == nil {
		left = &journal{} // of another boot
	}
	others, err := readJournals(dir, iface, boot)
	if err != nil {
		return err
	}
	r := &Routing{system: sys, dir: dir, journal: *left}
	r.journal.Interface = iface
	return do(r, stepsOf(others))
}
