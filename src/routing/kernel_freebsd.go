package routing

import (
	"errors"
	"fmt"

	"netcombiner/src/config"
)

// routeProtocol marks what this package makes. FreeBSD has no such mark.
const routeProtocol = 47

var errFreeBSD = fmt.Errorf("Routing = nat and portal, and with them [Bypass] and Fallback, need Linux so far: use Routing = none, and pf: %w", errors.ErrUnsupported)

type kernel struct{}

func (kernel) boot() (string, error)       { return "", nil }
func (kernel) lock(string) (func(), error) { return func() {}, nil }
func (kernel) snapshot() (Host, error)     { return Host{}, errFreeBSD }
func (kernel) forget(forgotten) error      { return nil }
func (kernel) check([]Step) error          { return errFreeBSD }
func (kernel) present(Step) (bool, error)  { return false, errFreeBSD }
func (kernel) make(Step) error             { return errFreeBSD }
func (kernel) unmake(Step) error           { return errFreeBSD }
func (kernel) warnings(string) []string    { return nil }
func (kernel) sysctl(string) (string, map[string]string, error) {
	return "", nil, errFreeBSD
}
func (kernel) setFamilies([]config.NFTSet) map[config.NFTSet]string { return nil }
