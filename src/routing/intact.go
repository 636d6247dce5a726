package routing

import (
	"context"
	"maps"
	"slices"

	"netcombiner/src/config"
)

// Watch tells when to ask whether the routing is Intact: firewalls are loaded
// anew, and Debian's begins with "flush ruleset". Of pf nobody tells: there it is
// every half minute. Until ctx ends; then the channel closes. Where there is no
// firewall to watch it is nil.
func (r *Routing) Watch(ctx context.Context) (<-chan struct{}, error) {
	return r.system.watch(ctx, r.concerns)
}

// concerns says whether something of ours is in an nftables table, or should be.
// What else a host does with its firewall, perhaps many times a second, is not to
// wake a hundred tunnels.
func (r *Routing) concerns(table string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return table == tableName(r.journal.Interface) ||
		slices.ContainsFunc(r.named, func(s config.NFTSet) bool { return s.Table == table })
}

// Intact says whether nft sets, chains beside them and our own table or anchor
// still are as they were when the routing was last looked at; if not, a Refresh is
// due. So it is while the host lacks what part of the plan needs.
func (r *Routing) Intact() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.partial || !maps.Equal(r.system.setFamilies(r.named), r.sets) {
		return false
	}
	return !slices.ContainsFunc(r.journal.Steps, func(s Step) bool {
		if !s.stays() && s.SetChain == nil {
			return false // no firewall has a part in it
		}
		there, err := r.system.present(s)
		return err == nil && !there
	})
}
