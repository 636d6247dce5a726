package routing

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"netcombiner/src/config"
	"netcombiner/src/tundevice"
)

// system is the host's kernel, or in tests a double of it. make and unmake may
// be called again: what is there already, or gone already, is no error.
type system interface {
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
	warnings(iface string) []string
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
}

// Apply carries out what spec asks for. When it fails it has undone all. dir
// is where journals are: control.Dir, but in tests.
func Apply(dir string, spec Spec) (*Routing, error) { return apply(kernel{}, dir, spec) }

// Cleanup undoes what a killed process left of the tunnel's routing, if there
// is something. undone are the commands that would have done the same, in
// order.
func Cleanup(dir, iface string) (undone []string, err error) { return cleanup(kernel{}, dir, iface) }

// Inherit does what Cleanup does before a start, but leaves the ruleset to the
// Apply that follows, which replaces it in one transaction. Without any for a
// moment, the kernel would answer the segments of translated connections with
// resets of its own, and lose track of what their ends have sent: it would then
// take the acknowledgements of what was lost meanwhile for invalid and never
// translate one again. kept says that there is a ruleset, which Cleanup still
// undoes if it does not come to an Apply.
func Inherit(dir, iface string) (kept bool, err error) { return inherit(kernel{}, dir, iface) }

func apply(sys system, dir string, spec Spec) (*Routing, error) {
	if err := tundevice.CheckName(spec.Interface); err != nil {
		return nil, err
	}
	r := &Routing{system: sys, dir: dir, journal: journal{Interface: spec.Interface}}
	if spec.Mode == config.RoutingNone || spec.Mode == "" {
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
		if slices.ContainsFunc(left.Steps, func(s Step) bool { return s.Ruleset == nil }) {
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
	if spec.Mode == config.RoutingNone || spec.Mode == "" {
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

// Warnings says what on the host may stop the tunnel's packets, a sentence
// each. It changes nothing.
func (r *Routing) Warnings() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.journal.Steps) == 0 {
		return nil
	}
	list := r.system.warnings(r.journal.Interface)
	if r.lacking != nil {
		list = append(list, r.lacking.Error())
	}
	return list
}

func (r *Routing) path() string { return journalPath(r.dir, r.journal.Interface) }

// reconcile brings what is in force to what spec asks for now. shared are the
// steps of the host's other tunnels.
func (r *Routing) reconcile(spec Spec, shared index) error {
	host, err := r.system.snapshot()
	if err != nil {
		return fmt.Errorf("reading the host's routing: %w", err)
	}
	r.named = spec.sets()
	r.sets = r.system.setFamilies(r.named)
	host.Sets = r.sets
	r.stands = standings(spec, host, r.journal.Slot)
	mine := indexOf(r.journal.Steps)
	asBefore(&host, shared)
	asBefore(&host, mine)
	plan, err := Plan(spec, host, r.journal.Slot)
	if err != nil {
		return err
	}
	if err := r.system.check(plan); err != nil {
		return err
	}
	var wanted []Step
	for _, step := range plan {
		own, err := r.own(step, mine, shared)
		if err != nil {
			return err
		}
		if own {
			wanted = append(wanted, r.remember(step, mine, shared))
		}
	}
	var obsolete []Step
	still := indexOf(wanted)
	for _, step := range r.journal.Steps {
		if !still.has(step) {
			obsolete = append(obsolete, step)
		}
	}
	// First on disk what will have to be undone, whenever we are killed.
	r.journal.Steps = append(slices.Clone(obsolete), wanted...)
	if err := r.journal.write(r.path()); err != nil {
		return err
	}
	errs := []error{r.unmakeAll(obsolete, shared)}
	r.lacking = nil
	for _, step := range wanted {
		err := r.system.make(step)
		if err == nil || step.Sysctl != nil && step.Sysctl.Optional {
			continue
		}
		err = fmt.Errorf("%s: %w", firstLine(step.String()), err)
		if step.SetChain != nil { // somebody else's table
			r.lacking = errors.Join(r.lacking, err)
			continue
		}
		errs = append(errs, err)
		break // what follows may need it
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if len(obsolete) > 0 { // else the journal is right as it is
		r.journal.Steps = wanted
		if err := r.journal.write(r.path()); err != nil {
			return err
		}
	}
	r.lacking = errors.Join(r.lacking, r.settle(spec, besidesOf(spec, host, r.journal.Slot)))
	return nil
}

// own says whether a planned step is ours to make, and so to undo: not when
// somebody else has made it already.
func (r *Routing) own(step Step, mine, shared index) (bool, error) {
	if mine.has(step) || shared.has(step) {
		return true, nil // of what is shared, the last tunnel undoes it
	}
	if step.Sysctl != nil {
		now, _, err := r.system.sysctl(step.Sysctl.Key)
		if err != nil && step.Sysctl.Optional {
			return false, nil
		}
		return !step.Sysctl.satisfied(now), err
	}
	if step.Ruleset != nil || step.SetChain != nil {
		return true, nil // the name is ours
	}
	present, err := r.system.present(step)
	if step.NoRule != nil {
		return present, err
	}
	return !present, err
}

// satisfied says whether value needs no change.
func (s *Sysctl) satisfied(value string) bool {
	if s.AtLeast && len(value) == len(s.Value) {
		return value >= s.Value // small numbers, of equal length
	}
	return value == s.Value
}

// remember adds to a step what is needed to undo it: the first owner's memory,
// or else what is there now.
func (r *Routing) remember(step Step, mine, shared index) Step {
	if step.Sysctl == nil {
		return step
	}
	s := *step.Sysctl
	known, ok := mine[step.key()]
	if !ok {
		known, ok = shared[step.key()]
	}
	if ok {
		s.Old, s.Siblings = known.Sysctl.Old, known.Sysctl.Siblings
	} else if old, siblings, err := r.system.sysctl(s.Key); err == nil {
		s.Old, s.Siblings = old, siblings
	}
	return Step{Sysctl: &s}
}

// asBefore puts into host the sysctls as they were before the steps.
func asBefore(host *Host, steps index) {
	restore := func(key, old string) {
		if _, read := host.Sysctl[key]; read {
			host.Sysctl[key] = old
		}
	}
	for _, step := range steps {
		if step.Sysctl != nil {
			restore(step.Sysctl.Key, step.Sysctl.Old)
			for key, old := range step.Sysctl.Siblings {
				restore(key, old)
			}
		}
	}
}

// undo takes back what the journal says, and keeps in it what it could not.
func (r *Routing) undo(shared index) error {
	if err := r.unmakeAll(r.journal.Steps, shared); err != nil {
		return err
	}
	r.journal.Steps = nil
	if err := os.Remove(r.path()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the routing journal: %w", err)
	}
	return nil
}

// unmakeAll undoes steps, the last first, but for those that another tunnel
// needs. It goes on after an error.
func (r *Routing) unmakeAll(steps []Step, shared index) error {
	var errs []error
	for _, step := range slices.Backward(steps) {
		if shared.has(step) {
			continue
		}
		if err := r.system.unmake(step); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", firstLine(step.Inverse()), err))
		}
	}
	return errors.Join(errs...)
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
			if step.Ruleset != nil {
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

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
