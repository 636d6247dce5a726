package tundevice

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// On FreeBSD a TUN outlives its process: down and without addresses, but there.
// So ours have a mark, by which what a killed process left is told from what is
// somebody else's.
//
//	mark    the interface group "netcombiner". Rules of pf may name it, too: on netcombiner
//	held    some process has the TUN open. The kernel lets nobody remove it
//	        then: who tries waits, and cannot be killed, until it is closed
const (
	Mark    = "netcombiner"
	ofTUNs  = "tun" // the group of every TUN, until its removal begins
	holding = "Opened by PID "
)

// found is what is known of an interface that has the name of a new TUN.
type found struct {
	groups []string
	holder int // the process that has it open; 0: none
}

// judge says whether the interface is ours to remove; if not, why the name is taken.
func (f found) judge(name string) error {
	switch {
	case !slices.Contains(f.groups, Mark):
		return fmt.Errorf("interface %s exists already, and is not netcombiner's: choose another name, or remove it (ifconfig %s destroy): %w", name, name, syscall.EEXIST)
	case f.holder != 0:
		return fmt.Errorf("interface %s is in use: process %d holds it (netcombiner down %s ends ours): %w", name, f.holder, name, syscall.EBUSY)
	}
	return nil
}

// removing says that somebody removes the TUN, and waits until we close it.
func (f found) removing() bool { return !slices.Contains(f.groups, ofTUNs) }

// holderIn is the process that a TUN's status names, 0 where it names none.
func holderIn(status string) int {
	_, text, ok := strings.Cut(status, holding)
	if !ok {
		return 0
	}
	text, _, _ = strings.Cut(text, "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || pid <= 0 {
		return -1 // somebody, all the same
	}
	return pid
}
