package link

// ring is a FIFO of packets that grows and never shrinks.
type ring struct {
	buf   []Packet
	first int
	n     int
	bytes int // sum of Size
}

func (r *ring) len() int      { return r.n }
func (r *ring) head() *Packet { return &r.buf[r.first] }

func (r *ring) push(p Packet) {
	if r.n == len(r.buf) {
		grown := make([]Packet, max(64, 2*len(r.buf)))
		for i := range r.n {
			grown[i] = r.buf[(r.first+i)%len(r.buf)]
		}
		r.buf, r.first = grown, 0
	}
	r.buf[(r.first+r.n)%len(r.buf)] = p
	r.n++
	r.bytes += p.Size
}

func (r *ring) pop() Packet {
	p := r.buf[r.first]
	r.buf[r.first] = Packet{}
	r.first = (r.first + 1) % len(r.buf)
	r.n--
	r.bytes -= p.Size
	return p
}

// heap is a binary heap of packets, the first due on top. container/heap
// would allocate for every packet.
type heap []Packet

func (h heap) less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].seq < h[j].seq
}

func (h *heap) push(p Packet) {
	*h = append(*h, p)
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if !s.less(i, parent) {
			break
		}
		s[i], s[parent] = s[parent], s[i]
		i = parent
	}
}

func (h *heap) pop() Packet {
	s := *h
	p := s[0]
	last := len(s) - 1
	s[0] = s[last]
	s[last] = Packet{}
	*h = s[:last]
	h.down(0)
	return p
}

func (h heap) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h.less(child+1, child) {
			child++
		}
		if !h.less(child, i) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

// init restores the order after dues were changed.
func (h heap) init() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}
