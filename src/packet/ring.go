package packet

// Ring is a first-in, first-out queue that grows as needed and never shrinks,
// so that in steady state it does not allocate.
type Ring[T any] struct {
	items []T // length a power of two
	head  int
	count int
}

// Len is how many items wait.
func (r *Ring[T]) Len() int { return r.count }

// Push appends v.
func (r *Ring[T]) Push(v T) {
	if r.count == len(r.items) {
		r.grow()
	}
	r.items[(r.head+r.count)&(len(r.items)-1)] = v
	r.count++
}

// Pop removes and returns the oldest item; there must be one.
func (r *Ring[T]) Pop() T {
	var zero T
	v := r.items[r.head]
	r.items[r.head] = zero
	r.head = (r.head + 1) & (len(r.items) - 1)
	r.count--
	return v
}

// At returns the i-th oldest item, 0 ≤ i < Len().
func (r *Ring[T]) At(i int) T { return r.items[(r.head+i)&(len(r.items)-1)] }

func (r *Ring[T]) grow() {
	bigger := make([]T, max(16, 2*len(r.items)))
	for i := range r.count {
		bigger[i] = r.At(i)
	}
	r.items, r.head = bigger, 0
}
