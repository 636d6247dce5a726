package packet

import "testing"

func TestPoolIsBounded(t *testing.T) {
	pool := NewPool(64, 3)
	got := make([]*Packet, 5)
	if n := pool.Get(got); n != 3 {
		t.Fatalf("got %d packets of a pool of 3", n)
	}
	got[0].Retain()
	got[0].Release()
	if pool.Outstanding() != 3 {
		t.Error("a packet went home while referenced")
	}
	got[0].Release()
	if n := pool.Get(got[3:]); n != 1 {
		t.Errorf("got %d packets after one came home", n)
	}
}

// Packets of one slab share nothing, and go home together.
func TestSlabs(t *testing.T) {
	const size, limit = 64, 2*slabPackets + 3
	pool := NewPool(size, limit)
	got := make([]*Packet, limit)
	for i := range got { // one by one: slabs are none of the caller's business
		if pool.Get(got[i:i+1]) != 1 || pool.Outstanding() != i+1 {
			t.Fatalf("packet %d: %d are out", i, pool.Outstanding())
		}
		got[i].Data = got[i].Buffer()[Headroom:]
		if len(got[i].Buffer()) != size || cap(got[i].Buffer()) != size {
			t.Fatalf("a buffer of %d bytes, %d with its neighbours", len(got[i].Buffer()), cap(got[i].Buffer()))
		}
		for j := range got[i].WithHeadroom(Headroom) {
			got[i].Buffer()[j] = byte(i)
		}
	}
	for i, p := range got {
		if b := p.Buffer(); b[0] != byte(i) || b[size-1] != byte(i) {
			t.Fatalf("packet %d was overwritten by %d and %d", i, b[0], b[size-1])
		}
	}
	got[5].Retain()
	kept := got[5]
	if Release(got); pool.Outstanding() != 1 || got[0] != nil || kept.Data == nil {
		t.Errorf("%d packets are out, of which one is kept", pool.Outstanding())
	}
	if Release([]*Packet{kept}); pool.Outstanding() != 0 || kept.Data != nil {
		t.Errorf("%d packets are out", pool.Outstanding())
	}
}

// A burst is forgotten once a whole time between two calls has passed without need of
// it; what is held stays, and so does the bound.
func TestShrink(t *testing.T) {
	const limit = 10 * slabPackets
	pool := NewPool(64, limit)
	all := make([]*Packet, limit)
	shrink := func(when string, want int) {
		t.Helper()
		before := pool.made
		if forgotten := pool.Shrink(); pool.made != want || forgotten != before-want {
			t.Errorf("%s there are %d packets, want %d; %d of %d are forgotten", when, pool.made, want, forgotten, before)
		}
	}
	pool.Get(all)
	held := []*Packet{all[1], all[2], all[5*slabPackets]} // of two slabs
	for _, p := range held {
		p.Retain()
		p.Data = p.Buffer()[:8]
		p.Data[0] = 7
	}
	Release(all)
	shrink("after the burst", limit)
	pool.Get(all[:3*slabPackets])
	Release(all[:3*slabPackets])
	shrink("where three slabs' were needed", limit-(limit-len(held)-3*slabPackets)/slabPackets*slabPackets)
	shrink("where nothing was", 2*slabPackets)
	for _, p := range held {
		if p.Data[0] != 7 {
			t.Error("a packet that was held has changed")
		}
	}
	if n := pool.Get(all); n != limit-len(held) {
		t.Errorf("%d packets of %d, of which %d are held", n, limit, len(held))
	}
	seen := map[*byte]bool{}
	for _, p := range append(all[:limit-len(held)], held...) {
		if seen[&p.Buffer()[0]] {
			t.Fatal("a buffer was given out twice")
		}
		seen[&p.Buffer()[0]] = true
	}
	if pool.Get(make([]*Packet, 1)) != 0 {
		t.Error("there are more than the limit")
	}
	Release(append([]*Packet(nil), all[:limit-len(held)]...))
	Release(held)
	shrink("after another burst", limit)
	shrink("in the end", 0)
	if pool.Outstanding() != 0 {
		t.Errorf("%d are out", pool.Outstanding())
	}
}

// Who holds a few packets of a burst, of as many slabs, keeps few of these after a
// Repick.
func TestRepick(t *testing.T) {
	const few = 10
	const limit = 10 * few * slabPackets
	pool := NewPool(64, limit)
	all := make([]*Packet, limit)
	pool.Get(all)
	var held, rest []*Packet
	for i, p := range all {
		if i%(limit/few) == 0 {
			held = append(held, p)
		} else {
			rest = append(rest, p)
		}
	}
	held[0].Data = held[0].Buffer()[:8]
	Release(rest)
	pool.Shrink()
	pool.Shrink()
	if pool.made != few*slabPackets {
		t.Fatalf("%d packets are left, want all of %d slabs", pool.made, few)
	}
	pool.Repick(held)
	if pool.Outstanding() != few || held[0].Data != nil {
		t.Errorf("%d packets are out after a Repick of %d", pool.Outstanding(), few)
	}
	pool.Shrink()
	if pool.made > 2*few {
		t.Errorf("%d packets are left, of which %d are held", pool.made, few)
	}
	if n := pool.Get(all); n != limit-few {
		t.Errorf("got %d packets, want %d", n, limit-few)
	}
	pool.Repick(held) // where there is nothing to pick from
	if pool.Outstanding() != limit {
		t.Errorf("%d of %d are out", pool.Outstanding(), limit)
	}
	Release(held)
	Release(all[:limit-few])
	if pool.Outstanding() != 0 {
		t.Errorf("%d are out", pool.Outstanding())
	}
}
