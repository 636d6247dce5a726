package control

import "strings"

// Directions of a path, as this portal sees them.
const (
	out = iota
	in
)

// maxSpark is how many looks back a spark line goes at most.
const maxSpark = 20

// Recent is how fast a tunnel's paths went lately. The zero Recent has seen nothing.
type Recent struct {
	last, now *Status
	paths     map[string]*[2][]float64 // bit/s at each look, by name
}

// Add takes a look: a status later than the one before.
func (r *Recent) Add(now *Status) {
	r.last, r.now = r.now, now
	if r.last == nil {
		r.last = now
	}
	seen := make(map[string]*[2][]float64, len(now.Paths))
	for i := range now.Paths {
		p := &now.Paths[i]
		rates := r.paths[p.Name]
		if rates == nil {
			rates = new([2][]float64)
		}
		seen[p.Name] = rates
		was := earlier(r.last, p)
		for direction, c := range [2][2]Count{{p.Tx, was.Tx}, {p.Rx, was.Rx}} {
			if bps, ok := bitsPerSecond(now, r.last, c[0], c[1]); ok {
				rates[direction] = append(rates[direction], bps)
			}
			rates[direction] = rates[direction][max(0, len(rates[direction])-maxSpark):]
		}
	}
	r.paths = seen
}

// before is the status of the look before; nil where nobody looks on.
func (r *Recent) before() *Status {
	if r == nil {
		return nil
	}
	return r.last
}

// width is how long the spark lines may be for all to fit into 80 columns.
func (r *Recent) width(now *Status) int {
	longest := 0
	for i := range now.Paths {
		longest = max(longest, len([]rune(pathName(now.Paths[i].Name))))
	}
	const besides = 4*2 + 2 + 2*len("99.9 Mbit/s")
	return min(maxSpark, (80-besides-longest)/2)
}

// How high a rate is, of the highest on the line.
const (
	levels      = "▁▂▃▄▅▆▇█"
	levelsASCII = "_.-=+*%#"
)

// spark draws how fast a path went, the latest at the right. Its highest is the
// highest of that line: paths differ by more than eight levels could show.
func (r *Recent) spark(name string, direction, width int, style Style) string {
	scale := []rune(levels)
	if style.ASCII {
		scale = []rune(levelsASCII)
	}
	var rates []float64
	if both := r.paths[name]; both != nil {
		rates = both[direction][max(0, len(both[direction])-width):]
	}
	highest := 0.0
	for _, bps := range rates {
		highest = max(highest, bps)
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", width-len(rates)))
	for _, bps := range rates {
		level := 0
		if highest > 0 {
			level = min(int(bps/highest*float64(len(scale))), len(scale)-1)
		}
		b.WriteRune(scale[level])
	}
	return b.String()
}
