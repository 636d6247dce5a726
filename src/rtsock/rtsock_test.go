package rtsock

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var sameAddrs = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// read returns the messages of b, which is to be well-formed.
func read(t rapid.TB, b []byte) (got []Message) {
	t.Helper()
	if err := Each(b, func(m Message) { got = append(got, m) }); err != nil {
		t.Fatal(err)
	}
	return got
}

// routeOf makes a route's message of its sockaddrs, by struct rt_msghdr.
func routeOf(flags Flags, set uint32, sockaddrs ...[]byte) []byte {
	b := make([]byte, routeHeader)
	b[2], b[3] = version, typeGet
	binary.LittleEndian.PutUint16(b[4:], 7)
	binary.LittleEndian.PutUint32(b[8:], uint32(flags))
	binary.LittleEndian.PutUint32(b[12:], set)
	b = append(b, bytes.Join(sockaddrs, nil)...)
	binary.LittleEndian.PutUint16(b, uint16(len(b)))
	return b
}

func ip4(a ...byte) []byte { return append([]byte{16, 2, 0, 0}, append(a, make([]byte, 8)...)...) }

func ip6(addr string, scope byte) []byte {
	b := append([]byte{28, 28, 0, 0, 0, 0, 0, 0}, netip.MustParseAddr(addr).AsSlice()...)
	return append(b, scope, 0, 0, 0, 0, 0, 0, 0)
}

const dst, dstGate, dstMask, dstGateMask = 1, 1 | 2, 1 | 4, 1 | 2 | 4

// Radix trees once held netmasks without the zeros at their end, and without a
// family; a socket may still hand them over so.
func TestNetmasksThatAreCutShort(t *testing.T) {
	for _, c := range []struct {
		to, mask []byte
		want     string
	}{
		{ip4(192, 0, 2, 0), []byte{7, 0, 0, 0, 255, 255, 255, 0}, "192.0.2.0/24"},
		{ip4(10, 0, 0, 0), []byte{5, 0xff, 0xff, 0xff, 255, 0xee, 0xee, 0xee}, "10.0.0.0/8"},
		{ip4(10, 128, 0, 0), []byte{6, 0, 0, 0, 255, 128, 0, 0}, "10.128.0.0/9"},
		{ip4(0, 0, 0, 0), []byte{0, 0, 0, 0, 0, 0, 0, 0}, "0.0.0.0/0"},
		{ip4(0, 0, 0, 0), []byte{4, 2, 0, 0, 0, 0, 0, 0}, "0.0.0.0/0"},
		{ip4(192, 0, 2, 0), ip4(255, 255, 255, 0), "192.0.2.0/24"},
		{ip4(192, 0, 2, 77), ip4(255, 255, 255, 128), "192.0.2.0/25"},
		{ip6("2001:db8::", 0), []byte{12, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, "2001:db8::/32"},
		{ip6("::", 0), []byte{0, 0, 0, 0, 0, 0, 0, 0}, "::/0"},
		{ip6("2001:db8::1", 0), ip6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0), "2001:db8::1/128"},
		{ip4(192, 0, 2, 0), ip4(255, 0, 255, 0), ""}, // no prefix
	} {
		// A gateway behind the mask would be misread, were its length.
		var got string
		for _, m := range read(t, append(routeOf(Up, dstMask, c.to, c.mask), routeOf(Up|Gateway, dstGateMask, c.to, ip4(192, 0, 2, 1), c.mask)...)) {
			got = m.Route.Prefix.String()
		}
		if got != c.want {
			t.Errorf("% x, mask % x: %s, want %s", c.to, c.mask, got, c.want)
		}
	}
}

func TestNoNetmask(t *testing.T) {
	for want, b := range map[string][]byte{
		"192.0.2.1/32":    routeOf(Up|Host, dst, ip4(192, 0, 2, 1)),
		"198.51.100.9/32": routeOf(Up, dst, ip4(198, 51, 100, 9)),
		"0.0.0.0/32":      routeOf(Up|Host, dst, ip4(0, 0, 0, 0)),
		"0.0.0.0/0":       routeOf(Up, dst, ip4(0, 0, 0, 0)),
		"::/0":            routeOf(Up|Gateway, dstGate, ip6("::", 0), ip6("2001:db8::1", 0)),
	} {
		got := read(t, b)
		if len(got) != 1 || got[0].Route.Prefix.String() != want {
			t.Errorf("%+v, want %s", got, want)
		}
	}
}

// A gateway of link scope names its device beside the address, inside it, or by
// the message.
func TestScopeOfAGateway(t *testing.T) {
	for _, c := range []struct {
		gateway string
		scope   byte
		index   uint16
		want    int
	}{
		{"fe80::1", 3, 7, 7}, {"fe80::1", 3, 0, 3}, {"fe80:4::1", 0, 0, 4}, {"fe80:5::1", 0, 7, 7},
	} {
		b := routeOf(Up|Gateway, dstGateMask, ip6("::", 0), ip6(c.gateway, c.scope), ip6("::", 0))
		binary.LittleEndian.PutUint16(b[4:], c.index)
		got := read(t, b)
		if len(got) != 1 || got[0].Route.Gateway.String() != "fe80::1" || got[0].Route.Index != c.want || got[0].Index != c.want {
			t.Errorf("%+v of %+v", got, c)
		}
	}
}

// An address as a gateway is no next hop where the flags do not say so.
func TestRouteByADeviceItself(t *testing.T) {
	for _, hop := range [][]byte{ip4(192, 0, 2, 2), {8, 18, 9, 0, 0, 0, 0, 0}, {54, 18, 9, 0, 6, 3, 0, 0, 'e', 'm', '0', 53: 0, 55: 0}} {
		got := read(t, routeOf(Up, dstGateMask, ip4(192, 0, 2, 0), hop, ip4(255, 255, 255, 0)))
		if len(got) != 1 || got[0].Route.Gateway.IsValid() || got[0].Route.Prefix.String() != "192.0.2.0/24" || got[0].Index != 7 {
			t.Errorf("%+v", got)
		}
	}
}

func TestWhatIsPassedOver(t *testing.T) {
	refused := routeOf(Up, dst, ip4(192, 0, 2, 1))
	refused[24] = 17 // EEXIST
	for what, b := range map[string][]byte{
		"a change that was refused": refused,
		"an ARP entry":              routeOf(Up|Host|neighbour, dst, ip4(192, 0, 2, 1)),
		"another family":            routeOf(Up, dst, []byte{16, 17, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0}),
		"no destination":            routeOf(Up, 2, ip4(192, 0, 2, 1)),
		"a failed look-up":          {8, 0, version, 7, 0, 0, 0, 0},
		"an announcement of what?":  {24, 0, version, typeIfAnnounce, 3, 0, 'e', 'm', '1', 22: 2, 23: 0},
		"one of no name":            {24, 0, version, typeIfAnnounce, 3, 23: 0},
		"a message of the future":   {4, 0, version, 99},
	} {
		if got := read(t, b); got != nil {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

func TestBadMessages(t *testing.T) {
	good := routeOf(Up|Host, dst, ip4(192, 0, 2, 1))
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	link := make([]byte, linkHeader)
	link[0], link[2], link[3], link[linkData+6] = linkHeader, version, typeIfInfo, 100
	for want, b := range map[string][]byte{
		"version 4, want 5":                          change(2, 4),
		"says that it has 255 bytes of 168":          change(0, 255),
		"says that it has 3 bytes":                   change(0, 3),
		"byte 168: 3 bytes are too few":              append(bytes.Clone(good), 8, 0, version),
		"type 4: 100 bytes, want 152 or more":        append([]byte{100, 0, version, typeGet}, make([]byte, 96)...),
		"type 17: 8 bytes, want 24 or more":          {8, 0, version, typeIfAnnounce, 0, 0, 0, 0},
		"the address number 0 has 200 bytes of 16":   change(routeHeader, 200),
		"the address number 5 is not there":          change(12, dst|1<<source),
		"type 14: its header has 116 bytes of 168":   link,
		"type 12: the address number 0 is not there": append([]byte{20, 0, version, typeNewAddr, 1}, make([]byte, 15)...),
		"byte 168, type 4: the address number 1 is":  append(bytes.Clone(good), change(12, dstGate)...),
	} {
		count := 0
		err := Each(b, func(Message) { count++ })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if whole := strings.HasPrefix(want, "byte 168"); whole != (count == 1) {
			t.Errorf("%q: %d messages before the fault", want, count)
		}
	}
}

// The structure may grow at its end; what follows it is then further on.
func TestLinkOfAKernelToCome(t *testing.T) {
	link := make([]byte, linkHeader+8, linkHeader+24)
	link[2], link[3], link[4], link[8], link[12], link[linkData+4], link[linkData+6] = version, typeIfInfo, 1<<device, 0x41, 3, 2, 160
	link = append(link, 16, 18, 3, 0, 6, 3, 0, 0, 'e', 'm', '2', 0, 0, 0, 0, 0)
	link[0] = byte(len(link))
	if diff := cmp.Diff([]Message{{Kind: LinkInfo, Index: 3, Device: "em2", Up: true}}, read(t, link), sameAddrs); diff != "" {
		t.Error(diff)
	}
}

func TestRouteInWords(t *testing.T) {
	for want, r := range map[string]Route{
		"0.0.0.0/0 via 192.0.2.1 on em0":    {Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.1"), Index: 3, Device: "em0"},
		"2001:db8::/32 on device 3":         {Prefix: netip.MustParsePrefix("2001:db8::/32"), Index: 3},
		"198.51.100.0/24 via 198.51.100.15": {Prefix: netip.MustParsePrefix("198.51.100.0/24"), Gateway: netip.MustParseAddr("198.51.100.15")},
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// genRoute makes routes that AppendRoute can say.
func genRoute(t *rapid.T) Route {
	size := rapid.SampledFrom([]int{4, 16}).Draw(t, "size")
	address := func(name string) netip.Addr {
		a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, name))
		return a
	}
	to := address("to")
	prefix, _ := to.Prefix(rapid.IntRange(0, to.BitLen()).Draw(t, "bits"))
	r := Route{Prefix: prefix, Index: rapid.IntRange(1, 0xffff).Draw(t, "index")}
	if ofLink(to) {
		r.Prefix, _ = netip.MustParsePrefix("fe80::/64"), 0
	}
	switch rapid.IntRange(0, 2).Draw(t, "hop") {
	case 0:
		if r.Gateway = address("gateway"); ofLink(r.Gateway) {
			r.Gateway = netip.MustParseAddr("fe80::2:1")
		}
	case 1:
		if size == 16 {
			r.Gateway = netip.MustParseAddr("fe80::1")
		}
	}
	for _, f := range []Flags{Static, Proto1, Proto2, Reject, Blackhole} {
		if rapid.Bool().Draw(t, "flag") {
			r.Flags |= f
		}
	}
	return r
}

func TestWhatIsWrittenReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		var want []Message
		for range rapid.IntRange(1, 3).Draw(t, "messages") {
			r := genRoute(t)
			kind := rapid.SampledFrom([]Kind{RouteAdd, RouteDelete, RouteChange}).Draw(t, "kind")
			b = AppendRoute(b, kind, r, 1)
			r.Flags |= Up
			if !r.Gateway.IsValid() && r.Flags&(Reject|Blackhole) != 0 {
				r.Gateway = loopback(r.Prefix.Addr())
			}
			if r.Gateway.IsValid() {
				r.Flags |= Gateway
			}
			if r.Prefix.IsSingleIP() {
				r.Flags |= Host
			}
			want = append(want, Message{Kind: kind, Index: r.Index, Route: r})
		}
		if diff := cmp.Diff(want, read(t, b), sameAddrs); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzEach(f *testing.F) {
	for _, lines := range recordings(f) {
		for _, line := range lines {
			if _, message, ok := bytesOf(f, line); ok {
				f.Add(message)
			}
		}
	}
	f.Add(routeOf(Up|Gateway, dstGateMask, ip4(0, 0, 0, 0), ip4(192, 0, 2, 1), []byte{0, 0, 0, 0, 0, 0, 0, 0}))
	f.Add(routeOf(Up, dstMask, ip6("fe80:3::", 0), []byte{12, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0}))
	f.Add(AppendRoute(nil, RouteAdd, Route{Prefix: netip.MustParsePrefix("2001:db8::/32"), Gateway: netip.MustParseAddr("fe80::1"), Index: 3}, 9))
	f.Add([]byte{24, 0, version, typeIfAnnounce, 3, 0, 'e', 'm', '1', 23: 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		count := 0
		_ = Each(b, func(m Message) {
			count++
			r := m.Route
			switch m.Kind {
			case Arrived, Departed:
				if m.Device == "" || len(m.Device) > 16 {
					t.Fatalf("%+v", m)
				}
			case AddrAdd, AddrDelete:
				if !m.Addr.IsValid() || m.Addr.Addr().Zone() != "" {
					t.Fatalf("%+v", m)
				}
			case LinkInfo:
			default:
				if !r.Prefix.IsValid() || r.Prefix != r.Prefix.Masked() || r.Gateway.IsValid() && r.Flags&Gateway == 0 || r.Index != m.Index {
					t.Fatalf("%+v", m)
				}
			}
			if strings.ContainsRune(m.Device, 0) || m.Index < 0 {
				t.Fatalf("%+v", m)
			}
		})
		if count > len(b)/4 {
			t.Fatalf("%d messages of %d bytes", count, len(b))
		}
	})
}

// A router may have a million routes, and each look at its tables reads them all.
func BenchmarkEach(b *testing.B) {
	dump := bytes.Repeat(routeOf(Up|Gateway, dstGateMask, ip4(192, 0, 2, 0), ip4(192, 0, 2, 1), ip4(255, 255, 255, 0)), 1000)
	b.ReportAllocs()
	for b.Loop() {
		if err := Each(dump, func(Message) {}); err != nil {
			b.Fatal(err)
		}
	}
}
