package superpacket

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// flowOf names the flow of a packet as its reader would: by hand.
func flowOf(p []byte) string {
	f := inspect(p)
	if f.class != member {
		return ""
	}
	addresses := p[12:20]
	if p[0]>>4 == 6 {
		addresses = p[8:40]
	}
	return fmt.Sprint(f.udp, addresses, p[f.start:f.start+4])
}

// checkPlan sorts packets into runs, lets them be taken apart again, and checks
// that what comes out is what went in, each flow in order. It returns how many
// packets were written with others.
func checkPlan(t testing.TB, c *Coalescer, packets [][]byte) (joined int) {
	t.Helper()
	bufs := room(packets)
	last := map[string]int{}
	seen := make([]bool, len(packets))
	runs := c.Plan(bufs, HeaderSize)
	ended := -1 // no packet before it may follow
	for k := range runs {
		r := &runs[k]
		out := segments(t, frame(c, r, bufs))
		if len(out) != r.Count {
			t.Fatalf("a run of %d came out as %d packets", r.Count, len(out))
		}
		n := 0
		for i := r.First; i >= 0; i = c.Next(i) {
			if seen[i] {
				t.Fatalf("packet %d is written twice", i)
			}
			seen[i] = true
			flow := flowOf(packets[i])
			if before, ok := last[flow]; ok && flow != "" && i < before {
				t.Fatalf("packet %d of a flow comes after %d", i, before)
			}
			if last[flow] = i; i < ended {
				t.Fatalf("packet %d comes after %d, which may be of its flow", i, ended)
			}
			if inspect(packets[i]).class == unclear {
				ended = i
			}
			same(t, packets[i], out[n], r.Count > 1)
			n++
		}
		if r.Count > 1 {
			joined += r.Count
		}
	}
	for i := range seen {
		if !seen[i] {
			t.Fatalf("packet %d is not written", i)
		}
	}
	return joined
}

// same compares a packet with what became of it. The ID of one that must not
// be fragmented may change, and with it the checksum.
func same(t testing.TB, want, got []byte, joined bool) {
	t.Helper()
	if joined && !right(want) {
		t.Fatal("a packet with a wrong checksum was joined")
	}
	if joined && want[0]>>4 == 4 && want[6]&0x40 != 0 && len(got) == len(want) {
		got = bytes.Clone(got)
		copy(got[4:6], want[4:6])
		copy(got[10:12], want[10:12])
	}
	if !bytes.Equal(want, got) {
		t.Fatalf("went in\n%x\ncame out\n%x", want[:min(len(want), 100)], got[:min(len(got), 100)])
	}
}

func TestWhatIsJoinedComesApart(t *testing.T) {
	total, joined := 0, 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := &Coalescer{UDP: seed%4 != 0}
		for range 3 { // one plan leaves nothing to the next
			packets := traffic(r, 1+r.IntN(150))
			total += len(packets)
			joined += checkPlan(t, c, packets)
		}
	}
	t.Logf("%d of %d packets were joined", joined, total)
	if joined < total/3 {
		t.Errorf("only %d of %d packets were joined", joined, total)
	}
}

// TestRuns: what is a run, and what is not.
func TestRuns(t *testing.T) {
	body := make([]byte, 100)
	for i := range body {
		body[i] = byte(i)
	}
	options := []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}
	base := spec{flow: 1, seq: 0xffffffc0, flags: tcpACK, ttl: 64, window: 9, payload: body, options: options}
	edit := func(f func(p []byte)) func([]byte, int, bool) { return func(p []byte, _ int, _ bool) { f(p) } }
	for _, c := range []struct {
		name   string
		second func(*spec)
		bytes  func(p []byte, at int, udp bool) // changes the second packet
		udp    bool                             // all of it for UDP
		v6     bool
		runs   int // of three packets
	}{
		{name: "in sequence", runs: 1},
		{name: "over IPv6", v6: true, runs: 1},
		{name: "UDP", udp: true, runs: 1},
		{name: "UDP over IPv6", udp: true, v6: true, runs: 1},
		{name: "the last is short", second: func(s *spec) { s.payload = body[:50] }, runs: 2},
		{name: "the second is longer", second: func(s *spec) { s.payload = append(body[:len(body):len(body)], 1) }, runs: 2},
		{name: "PSH", second: func(s *spec) { s.flags |= tcpPSH }, runs: 2},
		{name: "SYN", second: func(s *spec) { s.flags |= 2 }, runs: 3},
		{name: "FIN", second: func(s *spec) { s.flags |= tcpFIN }, runs: 3},
		{name: "RST", second: func(s *spec) { s.flags |= 4 }, runs: 3},
		{name: "URG", second: func(s *spec) { s.flags |= 0x20 }, runs: 3},
		{name: "CWR", second: func(s *spec) { s.flags |= tcpCWR }, runs: 3},
		{name: "ECE", second: func(s *spec) { s.flags |= tcpECE }, runs: 3},
		{name: "no payload", second: func(s *spec) { s.payload = nil }, runs: 3},
		{name: "no datagram", udp: true, second: func(s *spec) { s.payload = nil }, runs: 3},
		{name: "a hole", second: func(s *spec) { s.seq++ }, runs: 3},
		{name: "another window", second: func(s *spec) { s.window++ }, runs: 3},
		{name: "other options", second: func(s *spec) { s.options = make([]byte, 12) }, runs: 3},
		{name: "fewer options", second: func(s *spec) { s.options = nil }, runs: 3},
		{name: "another hop count", second: func(s *spec) { s.ttl-- }, runs: 3},
		{name: "an ECN mark", second: func(s *spec) { s.tos = 3 }, runs: 3},
		{name: "an ECN mark, IPv6", v6: true, second: func(s *spec) { s.tos = 3 }, runs: 3},
		{name: "another ID", second: func(s *spec) { s.id += 5 }, runs: 3},
		{name: "may be fragmented", second: func(s *spec) { s.df = true }, runs: 3},
		{name: "another ACK", bytes: func(p []byte, at int, udp bool) { p[at+11]++; mend(p, at, udp) }, runs: 3},
		{name: "a wrong checksum", bytes: func(p []byte, at int, _ bool) { p[len(p)-1]++ }, runs: 3},
		{name: "a wrong checksum, UDP", udp: true, bytes: func(p []byte, at int, _ bool) { p[len(p)-1]++ }, runs: 3},
		{name: "a wrong IP checksum", bytes: edit(func(p []byte) { p[10]++ }), runs: 3},
		{name: "no checksum", udp: true, bytes: func(p []byte, at int, _ bool) { p[at+6], p[at+7] = 0, 0 }, runs: 3},
		{name: "a fragment", bytes: edit(func(p []byte) { p[6] |= 0x20 }), runs: 3},
		{name: "a later fragment", bytes: edit(func(p []byte) { p[7] = 9 }), runs: 3},
		{name: "ICMP in between", bytes: edit(func(p []byte) { p[9] = 1 }), runs: 3}, // and with it a hole
		{name: "extension headers", v6: true, bytes: edit(func(p []byte) { p[6] = 60 }), runs: 3},
		{name: "junk", bytes: edit(func(p []byte) { p[0] = 0x05 }), runs: 3},
		{name: "another flow in between", bytes: func(p []byte, at int, udp bool) { p[at]++; mend(p, at, udp) }, udp: true, v6: true, runs: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var packets [][]byte
			s := base
			s.udp, s.v6 = c.udp, c.v6
			for i := range 3 {
				one := s
				if i == 1 && c.second != nil {
					c.second(&one)
				}
				p := one.make()
				if i == 1 && c.bytes != nil {
					at := ipv4Header
					if c.v6 {
						at = ipv6Header
					}
					c.bytes(p, at, c.udp)
				}
				packets = append(packets, p)
				s.seq += uint32(len(one.payload))
				s.id++
			}
			planner := &Coalescer{UDP: true}
			checkPlan(t, planner, packets)
			if got := len(planner.Plan(room(packets), HeaderSize)); got != c.runs {
				t.Errorf("%d runs, want %d", got, c.runs)
			}
			if c.udp {
				planner.UDP = false
				if got := len(planner.Plan(room(packets), HeaderSize)); got != 3 {
					t.Errorf("UDP that is to be left alone: %d runs", got)
				}
			}
		})
	}
}

// A sender that must not be fragmented need not count its packets.
func TestIDsThatStandStill(t *testing.T) {
	for df, want := range map[bool]int{true: 1, false: 2} {
		s := spec{df: df, flags: tcpACK, payload: make([]byte, 9)}
		a := s.make()
		s.seq += 9
		if got := len(new(Coalescer).Plan(room([][]byte{a, s.make()}), HeaderSize)); got != want {
			t.Errorf("DF %v: %d runs, want %d", df, got, want)
		}
	}
}

// A super-packet is never longer than its length field can tell, nor has more
// segments than any kernel takes.
func TestRunsAreBounded(t *testing.T) {
	for _, size := range []int{1, 1400, 9000} {
		var packets [][]byte
		s := spec{flags: tcpACK, payload: make([]byte, size)}
		for range 200 {
			packets = append(packets, s.make())
			s.seq += uint32(size)
			s.id++
		}
		var c Coalescer
		checkPlan(t, &c, packets)
		for _, r := range c.Plan(room(packets), HeaderSize) {
			if r.Count > MaxRun || r.Headers+r.Count*size > maxLength {
				t.Errorf("%d packets of %d bytes in one", r.Count, size)
			}
		}
	}
}

// FuzzCoalescer: packets of any kind, of which some may be turned into the
// ones that follow them.
func FuzzCoalescer(f *testing.F) {
	tcp := spec{flags: tcpACK, payload: []byte("segment")}.make()
	f.Add(tcp, byte(3), uint16(0), byte(0), true)
	f.Add(spec{v6: true, udp: true, payload: []byte("datagram")}.make(), byte(9), uint16(41), byte(1), true)
	f.Add(spec{flags: tcpACK | tcpPSH, options: make([]byte, 40), payload: []byte("x")}.make(), byte(70), uint16(33), byte(9), false)
	f.Fuzz(func(t *testing.T, p []byte, count byte, at uint16, change byte, udp bool) {
		if len(p) == 0 || len(p) > maxLength {
			return
		}
		packets := [][]byte{p}
		for i := range int(count) {
			q := bytes.Clone(p)
			if found := inspect(q); found.class == member && found.headers > 0 {
				if !found.udp {
					t := q[found.start:]
					binary.BigEndian.PutUint32(t[4:], binary.BigEndian.Uint32(t[4:])+uint32((i+1)*found.payload))
				}
				if q[0]>>4 == 4 {
					binary.BigEndian.PutUint16(q[4:], binary.BigEndian.Uint16(q[4:])+uint16(i+1))
					binary.BigEndian.PutUint16(q[10:], 0)
					binary.BigEndian.PutUint16(q[10:], plainSum(q[:20]))
				}
				mend(q, found.start, found.udp)
			}
			if i%5 == 4 && len(q) > 0 {
				q[int(at)%len(q)] ^= change
			}
			packets = append(packets, q)
		}
		checkPlan(t, &Coalescer{UDP: udp}, packets)
	})
}

func TestPlanAllocatesNothing(t *testing.T) {
	bufs := room(traffic(rand.New(rand.NewPCG(1, 2)), 128))
	c := &Coalescer{UDP: true}
	head := make([]byte, 0, MaxHeaders)
	if n := testing.AllocsPerRun(20, func() {
		runs := c.Plan(bufs, HeaderSize)
		for i := range runs {
			if runs[i].Count > 1 {
				c.Frame(head, &runs[i], bufs, HeaderSize)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkPlan is what it costs to find that packets can be joined, a packet:
// the checksums mostly.
func BenchmarkPlan(b *testing.B) {
	for _, flows := range []int{1, 8} {
		b.Run(fmt.Sprint(flows, " flows"), func(b *testing.B) {
			var packets [][]byte
			s := make([]spec, flows)
			for i := range 64 {
				f := &s[i%flows]
				f.flow, f.flags, f.payload = byte(i%flows), tcpACK, make([]byte, 1348)
				packets = append(packets, f.make())
				f.seq += 1348
				f.id++
			}
			bufs := room(packets)
			c := new(Coalescer)
			b.ReportAllocs()
			for i := 0; i < b.N; i += len(bufs) {
				c.Plan(bufs, HeaderSize)
			}
		})
	}
}
