package config

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

const (
	// firstPort is where the first tunnel of a host listens, in the examples and by Free.
	firstPort = 4725
	// MaxPlaces is how many tunnels Free finds room for on one host.
	MaxPlaces = 1000
)

// The first tunnel's own addresses: the remote portal's. Its home has the next,
// and the next tunnel those after.
var (
	firstAddress4 = netip.MustParseAddr("172.19.152.2")
	firstAddress6 = netip.MustParseAddr("fd19:152::2")
)

// Place is what a tunnel has for itself on a host with others: nc57 gets all
// by the number 57, so that the one tells the other.
type Place struct {
	Port   uint16         // to listen at, over UDP and TCP: firstPort + 57
	Remote []netip.Prefix // Address of the remote portal: an IPv4 /31, an IPv6 /127
	Local  []netip.Prefix // Address of the local portal
}

// Free finds the place of a further remote portal, called iface, among those
// there are: the one of its name's number, or if any of that is taken the first
// that is free. usable, if not nil, says whether the host has no other use for
// a place. It reads and changes nothing; it fails when all MaxPlaces are taken.
func Free(iface string, existing []Instance, usable func(Place) bool) (Place, error) {
	order := make([]int, 0, MaxPlaces+1)
	if n, ok := number(iface); ok {
		order = append(order, n)
	}
	for n := range MaxPlaces {
		order = append(order, n)
	}
	for _, n := range order {
		if p := place(n); p.isFree(existing) && (usable == nil || usable(p)) {
			return p, nil
		}
	}
	return Place{}, errors.New("every port and address that a tunnel could have is taken: write Address and the [Listen] by hand")
}

// number is what an interface's name ends with, where that is a place's.
func number(iface string) (n int, ok bool) {
	digits := iface[len(strings.TrimRight(iface, "0123456789")):]
	n, err := strconv.Atoi(digits)
	return n, err == nil && n < MaxPlaces
}

func place(n int) Place {
	pair := func(first netip.Addr) (remote, local netip.Prefix) {
		remote = netip.PrefixFrom(add(first, 2*n), first.BitLen()-1)
		return remote, netip.PrefixFrom(remote.Addr().Next(), remote.Bits())
	}
	r4, l4 := pair(firstAddress4)
	r6, l6 := pair(firstAddress6)
	return Place{Port: uint16(firstPort + n), Remote: []netip.Prefix{r4, r6}, Local: []netip.Prefix{l4, l6}}
}

// add returns the address n after a, n below 65536.
func add(a netip.Addr, n int) netip.Addr {
	b := a.AsSlice()
	for i := len(b) - 1; n > 0; i-- {
		n += int(b[i])
		b[i] = byte(n)
		n >>= 8
	}
	sum, _ := netip.AddrFromSlice(b)
	return sum
}

// isFree says that a remote portal there would disturb none of the others.
func (p Place) isFree(existing []Instance) bool {
	own := &Config{Interface: Interface{Address: p.Remote}}
	for _, transport := range []string{"udp", "tcp"} {
		own.Listens = append(own.Listens, Listen{Transport: transport, Address: netip.AddrPortFrom(netip.IPv6Unspecified(), p.Port)})
	}
	for _, e := range existing {
		if len(clashes(Instance{Config: own}, e)) > 0 {
			return false
		}
	}
	return true
}
