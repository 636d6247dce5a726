package routing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// reconcile brings what is in force to what spec asks for now. shared are the
// steps of the host's other tunnels.
func (r *Routing) reconcile(spec Spec, shared index) error {
	host, err := r.look(spec, shared)
	if err != nil {
		return err
	}
	wanted, err := r.wanted(spec, host, shared)
	if err != nil {
		return err
	}
	if len(wanted) == 0 && len(r.journal.Steps) == 0 {
		return nil // and no journal of nothing
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
	if err := errors.Join(r.unmakeAll(obsolete, shared), r.makeAll(wanted)); err != nil {
		return err
	}
	if len(obsolete) > 0 { // else the journal is right as it is
		r.journal.Steps = wanted
		if err := r.keepJournal(); err != nil {
			return err
		}
	}
	r.lacking = errors.Join(r.lacking, r.settle(spec, besidesOf(spec, host, r.journal.Slot)))
	return nil
}

// keepJournal writes the journal, or removes one of nothing.
func (r *Routing) keepJournal() error {
	if len(r.journal.Steps) == 0 {
		return r.dropJournal()
	}
	return r.journal.write(r.path())
}

// look reads the host, as it was before we and the other tunnels changed it.
func (r *Routing) look(spec Spec, shared index) (Host, error) {
	host, err := r.system.snapshot()
	if err != nil {
		return Host{}, fmt.Errorf("reading the host's routing: %w", err)
	}
	r.named = spec.sets()
	r.sets = r.system.setFamilies(r.named)
	host.Sets = r.sets
	r.stands = standings(spec, host, r.journal.Slot)
	asBefore(&host, shared)
	asBefore(&host, indexOf(r.journal.Steps))
	return host, nil
}

// wanted are the steps of the plan that are ours to make.
func (r *Routing) wanted(spec Spec, host Host, shared index) (steps []Step, err error) {
	mine := indexOf(r.journal.Steps)
	plan, err := r.system.plan(spec, host, r.journal.Slot, shared, mine)
	if err != nil {
		return nil, err
	}
	if err := r.system.check(plan.steps); err != nil {
		return nil, err
	}
	r.fibs, r.notes, r.partial = plan.fibs, plan.notes, plan.partial
	for _, step := range plan.steps {
		own, err := r.own(step, mine, shared)
		if err != nil {
			return nil, err
		}
		if own {
			steps = append(steps, r.remember(step, mine, shared))
		}
	}
	return steps, nil
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
	if step.stays() || step.SetChain != nil {
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

// makeAll makes steps up to the first that fails, since what follows may need it.
// What the tunnel works without it goes on without.
func (r *Routing) makeAll(steps []Step) error {
	r.lacking = nil
	for _, step := range steps {
		err := r.system.make(step)
		if err == nil || step.Sysctl != nil && step.Sysctl.Optional {
			continue
		}
		err = fmt.Errorf("%s: %w", firstLine(step.String()), err)
		if step.SetChain == nil {
			return err
		}
		r.lacking = errors.Join(r.lacking, err) // somebody else's table
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

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
