package tundevice

import (
	"fmt"
	"net/netip"
)

// CheckName reports why name cannot be the name of an interface. It is
// stricter than the kernel: letters, digits, '.', '_' and '-', because the
// name also becomes part of file names and of firewall tables.
func CheckName(name string) error {
	if name == "" {
		return fmt.Errorf("an interface needs a name, for example nc0")
	}
	if len(name) > maxName {
		return fmt.Errorf("interface name %q is too long: at most %d bytes", name, maxName)
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		other := c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
		if !letter && (i == 0 || !other) {
			return fmt.Errorf("interface name %q is not allowed: a letter, then letters, digits, '.', '_' or '-'", name)
		}
	}
	return nil
}

// Peer returns the other portal's address, where a tunnel address implies it:
// the other one of a /31 (RFC 3021), a /127 (RFC 6164), or of the two hosts of
// a /30 or /126.
func Peer(own netip.Prefix) (netip.Addr, bool) {
	addr := own.Addr()
	bytes := addr.AsSlice()
	last := len(bytes) - 1
	switch addr.BitLen() - own.Bits() {
	case 1:
		bytes[last] ^= 1
	case 2:
		if host := bytes[last] & 3; host != 1 && host != 2 {
			return netip.Addr{}, false
		}
		bytes[last] ^= 3
	default:
		return netip.Addr{}, false
	}
	peer, ok := netip.AddrFromSlice(bytes)
	return peer, ok
}
