package portal

import "netcombiner/src/path"

// numbers are the sequences of all paths that ever had one ID. With the ID they
// are the nonces of messages, so no path begins anew while keys may live.
type numbers struct {
	past  path.Past // where one that is gone left off
	keyed uint64    // the first under the keys in use
}

// maxSealed is how many messages of a path are sealed with one key, for its
// sequence has 32 bits in the nonce. Should new keys ever be so late, the path
// is silent until they come.
const maxSealed = 1 << 32

// sealed is how many messages of p were numbered since the keys in use are.
func (k *core) sealed(p *path.Path) uint64 { return p.NextSequence() - k.numbers[p.ID].keyed }

// countAnew notes that there are new keys to seal with.
func (k *core) countAnew() {
	for _, p := range k.order {
		k.numbers[p.ID].past.Next = p.NextSequence()
	}
	for i := range k.numbers {
		k.numbers[i].keyed = k.numbers[i].past.Next
	}
}
