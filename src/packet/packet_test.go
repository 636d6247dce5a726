package packet

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

// checksum is the Internet checksum over p (RFC 1071).
func checksum(p []byte, sum uint32) uint16 {
	for ; len(p) >= 2; p = p[2:] {
		sum += uint32(binary.BigEndian.Uint16(p))
	}
	if len(p) == 1 {
		sum += uint32(p[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// syn makes a TCP SYN whose options are opts, with a right checksum.
func syn(v6 bool, opts []byte) []byte {
	for len(opts)%4 != 0 {
		opts = append(opts, tcpOptionEnd)
	}
	tcp := make([]byte, tcpHeader+len(opts))
	binary.BigEndian.PutUint16(tcp, 40000)
	binary.BigEndian.PutUint16(tcp[2:], 443)
	tcp[12] = byte(len(tcp)/4) << 4
	tcp[13] = tcpFlagSYN
	copy(tcp[tcpHeader:], opts)
	var ip []byte
	if v6 {
		ip = make([]byte, ipv6Header)
		ip[0], ip[6] = 0x60, protoTCP
		binary.BigEndian.PutUint16(ip[4:], uint16(len(tcp)))
		ip[23], ip[39] = 1, 2
	} else {
		ip = make([]byte, ipv4Header)
		ip[0], ip[9] = 0x45, protoTCP
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(tcp)))
		copy(ip[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	}
	p := append(ip, tcp...)
	binary.BigEndian.PutUint16(p[len(ip)+16:], tcpChecksum(p))
	return p
}

func tcpChecksum(p []byte) uint16 {
	_, at := transport(p)
	addresses := p[12:20]
	if p[0]>>4 == 6 {
		addresses = p[8:40]
	}
	pseudo := ^checksum(addresses, 0)
	return checksum(p[at:], uint32(pseudo)+protoTCP+uint32(len(p)-at))
}

func TestClampMSS(t *testing.T) {
	mss := []byte{tcpOptionMSS, 4, 0x05, 0xb4} // 1460
	for _, c := range []struct {
		name string
		v6   bool
		opts []byte
		mtu  int
		want int // 0: unchanged
	}{
		{"v4 lowered", false, mss, 1400, 1360},
		{"v6 lowered", true, mss, 1400, 1340},
		{"never raised", false, mss, 9000, 0},
		{"exact fit", false, mss, 1500, 0},
		{"odd offset", false, append([]byte{tcpOptionNOP}, mss...), 1400, 1360},
		{"after another option", false, append([]byte{8, 10, 1, 2, 3, 4, 5, 6, 7, 8}, mss...), 1400, 1360},
		{"no option", false, nil, 1400, 0},
		{"cut option", false, []byte{tcpOptionMSS}, 1400, 0},
		{"zero-length option", false, []byte{8, 0, 0, 0}, 1400, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := syn(c.v6, c.opts)
			if changed := ClampMSS(p, c.mtu); changed != (c.want != 0) {
				t.Fatalf("changed = %v", changed)
			}
			if tcpChecksum(p) != 0 {
				t.Error("the checksum is wrong afterwards")
			}
			if c.want != 0 {
				i := len(p) - 4
				for p[i] != tcpOptionMSS {
					i--
				}
				if got := int(binary.BigEndian.Uint16(p[i+2:])); got != c.want {
					t.Errorf("MSS = %d, want %d", got, c.want)
				}
			}
		})
	}
}

func TestSource(t *testing.T) {
	v4, v6 := syn(false, nil), syn(true, nil)
	copy(v4[12:], []byte{192, 0, 2, 7, 198, 51, 100, 9})
	copy(v6[8:], netip.MustParseAddr("2001:db8::7").AsSlice())
	for _, c := range []struct {
		p    []byte
		want netip.Addr
	}{
		{v4, netip.MustParseAddr("192.0.2.7")},
		{v6, netip.MustParseAddr("2001:db8::7")},
		{v4[:19], netip.Addr{}},
		{v6[:39], netip.Addr{}},
		{nil, netip.Addr{}},
	} {
		if got := Source(c.p); got != c.want {
			t.Errorf("%d bytes: from %v, want %v", len(c.p), got, c.want)
		}
	}
}

func TestDSCP(t *testing.T) {
	v4, v6 := syn(false, nil), syn(true, nil)
	v4[1] = 46<<2 | 3
	v6[0], v6[1] = 0x60|46>>2, 46&3<<6|0x3f
	for _, p := range [][]byte{v4, v6} {
		if got := DSCP(p); got != 46 {
			t.Errorf("version %d: %d", p[0]>>4, got)
		}
		if got := DSCP(p[:19]); got != 0 {
			t.Errorf("of a part: %d", got)
		}
	}
}

func TestBareAck(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, c := range []struct {
			name  string
			flags byte
			data  int // bytes
			want  bool
		}{
			{"ACK", tcpFlagACK, 0, true},
			{"that echoes a mark", tcpFlagACK | 0x40, 0, true},
			{"with data", tcpFlagACK, 1, false},
			{"SYN", tcpFlagSYN, 0, false},
			{"SYN and ACK", tcpFlagSYN | tcpFlagACK, 0, false},
			{"FIN", tcpFlagFIN | tcpFlagACK, 0, false},
			{"RST", tcpFlagRST | tcpFlagACK, 0, false},
		} {
			p := append(syn(v6, []byte{tcpOptionNOP}), make([]byte, c.data)...)
			at := ipv4Header
			if v6 {
				at = ipv6Header
				binary.BigEndian.PutUint16(p[4:], uint16(len(p)-at))
			} else {
				binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
			}
			p[at+13] = c.flags
			if got := BareAck(append(p, 0, 0)); got != c.want { // the padding does not count
				t.Errorf("%s, IPv6 %v: %v", c.name, v6, got)
			}
			if BareAck(p[:at+13]) {
				t.Errorf("%s: half a header", c.name)
			}
		}
	}
}

func TestFlowHash(t *testing.T) {
	a, b := syn(false, nil), syn(false, nil)
	if FlowHash(a, 1) != FlowHash(b, 1) {
		t.Error("one 5-tuple, two hashes")
	}
	b[21]++ // source port
	if FlowHash(a, 1) == FlowHash(b, 1) {
		t.Error("two ports, one hash")
	}
	if FlowHash(a, 1) == FlowHash(a, 2) {
		t.Error("the seed does nothing")
	}
	// All fragments of a packet are one flow, whether or not they have ports.
	first, later := syn(false, nil), syn(false, nil)
	first[6], later[7] = 0x20, 100
	later[21]++
	if FlowHash(first, 1) != FlowHash(later, 1) {
		t.Error("fragments of one packet in two flows")
	}
}

func TestRing(t *testing.T) {
	var r Ring[int]
	next := 0
	for i := range 1000 {
		r.Push(i)
		if i%3 == 0 {
			if got := r.Pop(); got != next {
				t.Fatalf("popped %d, want %d", got, next)
			}
			next++
		}
	}
	for r.Len() > 0 {
		if r.At(0) != next || r.Pop() != next {
			t.Fatalf("out of order at %d", next)
		}
		next++
	}
	if next != 1000 {
		t.Errorf("%d items came out of 1000", next)
	}
}

func FuzzInner(f *testing.F) {
	f.Add(syn(false, []byte{tcpOptionMSS, 4, 5, 0xb4}), 1400)
	f.Add(syn(true, []byte{tcpOptionNOP, tcpOptionMSS, 4, 5, 0xb4}), 1280)
	f.Fuzz(func(t *testing.T, p []byte, mtu int) {
		before := len(p)
		FlowHash(p, 1)
		DSCP(p)
		BareAck(p)
		ClampMSS(p, mtu)
		if len(p) != before {
			t.Fatal("length changed")
		}
	})
}
