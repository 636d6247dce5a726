package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// OneOf sets *dst to that of the allowed words that v is, whatever its case. Its
// error is the problem, and what is allowed.
func OneOf[T ~string](dst *T, v, problem string, allowed ...T) error {
	words := make([]string, len(allowed))
	for i, word := range allowed {
		if strings.EqualFold(v, string(word)) {
			*dst = word
			return nil
		}
		words[i] = string(word)
	}
	return &fault{problem, strings.Join(words, ", ")}
}

// maxList is how many values a list may hold.
const maxList = 256

// list parses values set apart by commas, and refuses one given twice.
func list[T comparable](v string, parse func(string) (T, error)) ([]T, error) {
	var all []T
	for item := range strings.SplitSeq(v, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			return nil, &fault{"an empty place in the list", "values set apart by single commas"}
		}
		x, err := parse(item)
		if err != nil {
			return nil, err
		}
		if len(all) == maxList {
			return nil, &fault{"too long a list", fmt.Sprintf("at most %d values", maxList)}
		}
		if slices.Contains(all, x) {
			return nil, &fault{quote(item) + " is listed twice", "each once"}
		}
		all = append(all, x)
	}
	return all, nil
}

func parseNumber(v string, lowest, highest int, problem string) (int, error) {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil || int(n) < lowest || int(n) > highest {
		return 0, &fault{problem, fmt.Sprintf("%d to %d", lowest, highest)}
	}
	return int(n), nil
}

// ParsePort reads a port, 1 to 65535.
func ParsePort(v string) (uint16, error) {
	n, err := parseNumber(v, 1, 65535, "not a port")
	return uint16(n), err
}

// MTU limits, in bytes. IPv6 asks for 1280 of every link (RFC 8200 section 5).
const (
	minMTU     = 576
	minMTUIPv6 = 1280
	maxMTU     = 9000
)

func parseMTU(v string) (int, error) {
	if strings.EqualFold(v, "auto") {
		return 0, nil
	}
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil || n < minMTU || n > maxMTU {
		return 0, &fault{"not an MTU", fmt.Sprintf("auto, or %d to %d bytes", minMTU, maxMTU)}
	}
	return int(n), nil
}

// parseHostAddress takes an address that one host can have.
func parseHostAddress(v string) (netip.Addr, error) {
	a, err := netip.ParseAddr(v)
	if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}, &fault{quote(v) + " is not the address of a host", "192.0.2.7, 2001:db8::7"}
	}
	return a.Unmap(), nil
}

// parseOwnAddress takes an address of the tunnel interface; without a prefix
// length it stands alone, as in wg-quick.
func parseOwnAddress(v string) (netip.Prefix, error) {
	bad := &fault{quote(v) + " is not an interface address", "172.19.152.3/31, fd19:152::3/127"}
	text, _, slash := strings.Cut(v, "/")
	a, err := parseHostAddress(text)
	if err != nil {
		return netip.Prefix{}, bad
	}
	if !slash {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(v)
	if err != nil || p.Addr().Is4In6() || p.Bits() == 0 {
		return netip.Prefix{}, bad
	}
	return p, nil
}

// parsePrefix takes a set of sources: a network, or one address.
func parsePrefix(v string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(v); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(v)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, &fault{quote(v) + " is not a network", "198.51.100.0/24, 2001:db8::/32, 192.0.2.7"}
	}
	return p.Masked(), nil
}

// What is said of a place that has a port and should not, or the reverse.
var (
	badListen   = &fault{"not an address and port to listen on", "[::]:4725, 0.0.0.0:4725, 192.0.2.7:4725"}
	badListenIP = &fault{"not an address: ip has no ports", "::, 0.0.0.0, 192.0.2.7"}
	badRemote   = &fault{"not a host and port", "vps.example.org:4725, 192.0.2.7:4725, [2001:db8::7]:4725"}
	badRemoteIP = &fault{"not a host alone: ip has no ports", "vps.example.org, 192.0.2.7, 2001:db8::7"}
)

// parseAddrPort takes an address with a port or without; then that is 0.
func parseAddrPort(v string) (netip.AddrPort, bool) {
	if ap, err := netip.ParseAddrPort(v); err == nil {
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), ap.Port() != 0
	}
	if inside, ok := strings.CutPrefix(v, "["); ok && strings.HasSuffix(inside, "]") {
		v = inside[:len(inside)-1]
	}
	a, err := netip.ParseAddr(v)
	return netip.AddrPortFrom(a.Unmap(), 0), err == nil
}

// parseMetrics takes where to listen for Prometheus.
func parseMetrics(v string) (netip.AddrPort, error) {
	ap, ok := parseAddrPort(v)
	if !ok || ap.Port() == 0 || ap.Addr().IsMulticast() || ap.Addr().Zone() != "" {
		return netip.AddrPort{}, &fault{"not an address and port to listen on", "127.0.0.1:9487, [::1]:9487, 192.168.1.1:9487"}
	}
	return ap, nil
}

// parseListenAddress takes a port or none; the transport decides later.
func parseListenAddress(v string) (netip.AddrPort, error) {
	ap, ok := parseAddrPort(v)
	if !ok || ap.Addr().IsMulticast() {
		return netip.AddrPort{}, badListen
	}
	return ap, nil
}

// parseRemote takes a port or none; the transport decides later.
func parseRemote(v string) (HostPort, error) {
	if ap, ok := parseAddrPort(v); ok {
		if a := ap.Addr(); a.IsUnspecified() || a.IsMulticast() {
			return HostPort{}, badRemote
		}
		return HostPort{ap.Addr().String(), ap.Port()}, nil
	}
	host, text, hasPort := strings.Cut(v, ":")
	if !isHostName(host) {
		return HostPort{}, badRemote
	}
	if !hasPort {
		return HostPort{host, 0}, nil
	}
	port, err := ParsePort(text)
	if err != nil {
		return HostPort{}, badRemote
	}
	return HostPort{host, port}, nil
}

// defaultProtocol is for experiments (RFC 3692): no host takes it for its own.
const defaultProtocol = 253

// takenProtocols are those that the kernels, IPv6 (its extension headers), routers
// among themselves and common tunnels take for their own.
var takenProtocols = []int{1, 2, 4, 6, 17, 33, 41, 43, 44, 46, 47, 50, 51, 58, 59, 60, 88, 89, 94, 103, 112, 115, 132, 135, 136, 137, 139, 140}

func parseProtocol(v string) (uint8, error) {
	const problem = "not an IP protocol number that is free"
	n, err := parseNumber(v, 1, 254, problem)
	if err != nil || slices.Contains(takenProtocols, n) {
		return 0, &fault{problem, "253 or 254, or another of 1 to 254 that nothing else uses"}
	}
	return uint8(n), nil
}

// isHostName takes what RFC 1123 section 2.1 allows, and the underscores that
// people use all the same. A name that ends in a number is a mistyped address.
func isHostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(l, func(r rune) bool { return !isLetterOrDigit(r) && r != '-' && r != '_' }) {
			return false
		}
	}
	_, err := strconv.ParseUint(labels[len(labels)-1], 10, 64)
	return err != nil
}

func isLetterOrDigit(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// Rate limits, in bit/s.
const (
	minRate = 8_000
	maxRate = 1_000_000_000_000
)

const ratesAllowed = "down/up or one for both, 8kbit to 1000gbit each, as in 40mbit/10mbit"

// parseRates takes "down/up", or one value for both, in bit/s.
func parseRates(v string) (down, up int64, err error) {
	first, second, two := strings.Cut(v, "/")
	if down, err = parseRate(strings.TrimSpace(first)); err != nil || !two {
		return down, down, err
	}
	up, err = parseRate(strings.TrimSpace(second))
	return down, up, err
}

// parseRate takes "40mbit", "2.5mbit", "512kbit", "1gbit" or "64000bit"; the
// units are decimal, as tc(8)'s.
func parseRate(v string) (int64, error) {
	bad := &fault{"not a rate", ratesAllowed}
	number := strings.TrimRightFunc(v, unicode.IsLetter)
	unit, ok := map[string]float64{"bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}[strings.ToLower(v[len(number):])]
	number = strings.TrimSpace(number)
	if !ok || strings.Trim(number, "0123456789.") != "" {
		return 0, bad
	}
	n, err := strconv.ParseFloat(number, 64)
	if rate := n * unit; err == nil && rate >= minRate && rate <= maxRate {
		return int64(rate), nil
	}
	return 0, bad
}

// Quota limits, in bytes.
const (
	minQuota = 1_000_000
	maxQuota = 1_000_000_000_000_000
)

var sizeUnits = map[string]float64{"mb": 1e6, "gb": 1e9, "tb": 1e12, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}

// parseQuota takes "50GB", "1.5TB" or "500MiB"; GB is 10^9 bytes, as on the bill.
func parseQuota(v string) (uint64, error) {
	if size, ok := parseSize(v); ok && size >= minQuota && size <= maxQuota {
		return uint64(size), nil
	}
	return 0, &fault{"not a size", "1MB to 1000TB, as in 50GB; also MiB, GiB, TiB"}
}

// Memory limits, in bytes. With less than the lower one, two paths of 50 Mbit/s
// and 100 ms would run out of packets; a 32-bit process has no more than the upper.
const (
	minMemory = 16_000_000
	maxMemory = 2_000_000_000
)

// LeastMemory is the lowest MemoryLimit, in bytes, with which every reader of the
// TUN, a path or a listener has the 64 buffers that it works with and as many
// that are under way: packets get half of the memory. Each of them takes its MTU
// and up to 300 bytes more.
func (c *Config) LeastMemory() int64 {
	readers := len(c.Paths) + len(c.Listens) + 1
	return 2 * 2 * 64 * int64(readers) * int64(max(c.Interface.MTU, 1500)+300)
}

func parseMemory(v string) (int64, error) {
	if size, ok := parseSize(v); ok && size >= minMemory && size <= maxMemory {
		return int64(size), nil
	}
	return 0, &fault{"not a size of memory", "16MB to 2GB, as in 64MB; also MiB, GiB"}
}

// parseSize takes a number and one of sizeUnits, and returns bytes.
func parseSize(v string) (size float64, ok bool) {
	number := strings.TrimRightFunc(v, unicode.IsLetter)
	unit, ok := sizeUnits[strings.ToLower(v[len(number):])]
	number = strings.TrimSpace(number)
	if !ok || strings.Trim(number, "0123456789.") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(number, 64)
	return n * unit, err == nil
}

// checkPathName keeps names fit for a command line, a table and a metric.
func checkPathName(v string) error {
	ok := len(v) <= 32 && isLetterOrDigit(rune(v[0])) &&
		!strings.ContainsFunc(v, func(r rune) bool { return !isLetterOrDigit(r) && !strings.ContainsRune("-_.", r) })
	if !ok {
		return &fault{"not a path name", "up to 32 letters, digits, '-', '_' and '.', a letter or digit first"}
	}
	return nil
}

// CheckInterfaceName says what keeps name from being a network interface's:
// Linux's dev_valid_name (IFNAMSIZ: 15 bytes), and on top only the characters
// that wg-quick takes: none that a file name, a shell or the kernel's "%d"
// makes something else of.
func CheckInterfaceName(name string) error {
	const allowed = "up to 15 letters, digits, '-', '_', '.', '+' and '=', not all or default"
	switch {
	case name == "":
		return &fault{"an empty interface name", allowed}
	case len(name) > 15:
		return &fault{"too long for an interface name", allowed}
	case name == "." || name == ".." || name == "all" || name == "default", name[0] == '-',
		strings.ContainsFunc(name, func(r rune) bool { return !isLetterOrDigit(r) && !strings.ContainsRune("-_.+=", r) }):
		return &fault{"not an interface name", allowed}
	}
	return nil
}
