package quota

// Traffic is what a path or the tunnel carried: of a path outer messages, of
// the tunnel inner packets. Tx is what this portal sent.
type Traffic struct {
	TxPackets uint64 `json:"tx_packets"`
	TxBytes   uint64 `json:"tx_bytes"`
	RxPackets uint64 `json:"rx_packets"`
	RxBytes   uint64 `json:"rx_bytes"`
	Lost      uint64 `json:"lost,omitempty"` // packets that this portal sent on the path
}

// Plus is the sum of both.
func (t Traffic) Plus(o Traffic) Traffic {
	return Traffic{t.TxPackets + o.TxPackets, t.TxBytes + o.TxBytes, t.RxPackets + o.RxPackets, t.RxBytes + o.RxBytes, t.Lost + o.Lost}
}

// Minus is what t has more than o.
func (t Traffic) Minus(o Traffic) Traffic {
	return Traffic{less(t.TxPackets, o.TxPackets), less(t.TxBytes, o.TxBytes), less(t.RxPackets, o.RxPackets), less(t.RxBytes, o.RxBytes), less(t.Lost, o.Lost)}
}

func less(a, b uint64) uint64 { return a - min(a, b) }

// Bytes are those of both directions.
func (t Traffic) Bytes() uint64 { return t.TxBytes + t.RxBytes }

const (
	// totalsKept is how many months the totals go back: a year, and the current one.
	totalsKept = 13
	// maxNames is how many paths a month tells apart, for live changes may make
	// any number of them; Others counts the rest.
	maxNames = 128
)

// Others stands in the totals for all paths that are not told apart.
const Others = "(others)"

// totals are what all carried in a month.
type totals struct {
	Tunnel Traffic            `json:"tunnel"`
	Paths  map[string]Traffic `json:"paths"`
}

func (t totals) plus(o totals) totals {
	if t.Paths == nil {
		t.Paths = map[string]Traffic{}
	}
	t.Tunnel = t.Tunnel.Plus(o.Tunnel)
	for name, a := range o.Paths {
		if _, known := t.Paths[name]; !known && len(t.Paths) >= maxNames {
			name = Others
		}
		t.Paths[name] = t.Paths[name].Plus(a)
	}
	return t
}

func (t totals) minus(o totals) totals {
	t.Tunnel = t.Tunnel.Minus(o.Tunnel)
	for name, a := range o.Paths {
		if _, known := t.Paths[name]; !known {
			name = Others
		}
		if left := t.Paths[name].Minus(a); left == (Traffic{}) {
			delete(t.Paths, name)
		} else {
			t.Paths[name] = left
		}
	}
	return t
}

// Month is what the tunnel and its paths carried in one calendar month.
type Month struct {
	Begins string // its first day, as 2006-01-02; "": the clock was never set
	Tunnel Traffic
	Paths  map[string]Traffic // by name, also of those that are no more
}

// Months lists the totals of the current month and those before it, latest first. It
// holds the book's own memory: not for longer than the lock.
func (b *Book) Months() (all []Month) {
	for _, m := range b.totals.months {
		all = append(all, Month{m.Begins, m.Used.Tunnel, m.Used.Paths})
	}
	return all
}
