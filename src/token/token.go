// Package token is the one line by which a remote portal's owner sets up a local
// portal: it holds all that the local portal's configuration needs but the
// names of its links.
//
//	nc1.AAEAaSK…          "nc", version, ".", the body in base64url
//
// A token holds the tunnel's key: it is as secret as that. Its expiry says how long
// it may be used to set a portal up, not how long the key is good.
package token

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"netcombiner/src/config"
)

// MaxSize is the longest token that is read, in bytes, blanks and line breaks
// included.
const MaxSize = 1024

// prefix begins every token of this version.
const prefix = "nc1."

// How many of them a token holds at most.
const (
	maxWays      = 4
	maxAddresses = 4
	maxHost      = 253
)

// Token is what a local portal must know of a remote one.
type Token struct {
	Key     config.Key
	Host    string         // the remote portal's name or address, without a port
	Ways    []Way          // to get there, the best first: 1 to 4
	Address []netip.Prefix // of the local portal's interface: 0 to 4
	Suite   string         // as in the configuration
	Routing config.Routing
	Made    time.Time // whole seconds; zero: the maker's clock was not set
	Expires time.Time // whole seconds; zero: never
}

// Way is a transport and its port, which is 0 for ip.
type Way struct {
	Transport string
	Port      uint16
}

// The words that a token holds as numbers, their places here. They are for ever: new
// ones go to the end.
var (
	transports = []string{"udp", "tcp", "ip"}
	suites     = []string{"auto", "blake2s", "chacha20poly1305", "aes128gcm", "none"}
	routings   = []config.Routing{config.RoutingNone, config.RoutingNAT, config.RoutingPortal}
)

// Port returns where the remote portal listens with a transport.
func (t *Token) Port(transport string) (port uint16, ok bool) {
	for _, w := range t.Ways {
		if w.Transport == transport {
			return w.Port, true
		}
	}
	return 0, false
}

// String keeps the token out of logs: it names the host alone. Encode returns the token.
func (t *Token) String() string { return "token for " + t.Host }

// Encode returns the token as one line, without a line break. The error says what
// of t no token can hold.
func (t *Token) Encode() (string, error) {
	if err := t.check(); err != nil {
		return "", err
	}
	b := []byte{byte(slices.Index(suites, t.Suite)), byte(slices.Index(routings, t.Routing))}
	b = binary.BigEndian.AppendUint32(b, seconds(t.Made))
	lifetime := uint32(0)
	if !t.Expires.IsZero() {
		lifetime = seconds(t.Expires) - seconds(t.Made)
	}
	b = binary.BigEndian.AppendUint32(b, lifetime)
	b = append(b, t.Key[:]...)
	b = append(b, byte(len(t.Host)))
	b = append(b, t.Host...)
	b = append(b, byte(len(t.Ways)))
	for _, w := range t.Ways {
		b = append(b, byte(slices.Index(transports, w.Transport)))
		b = binary.BigEndian.AppendUint16(b, w.Port)
	}
	b = append(b, byte(len(t.Address)))
	for _, a := range t.Address {
		raw := a.Addr().AsSlice()
		b = append(append(b, byte(a.Bits()), byte(len(raw))), raw...)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return prefix + base64.RawURLEncoding.EncodeToString(b), nil
}

func seconds(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	return uint32(t.Unix())
}

// errMangled says that a text began like a token and is not whole.
var errMangled = errors.New("the token is mangled: copied whole?")

// Parse reads what Encode wrote. Blanks and line breaks in it, as terminals and
// mails put there, do no harm. No error ever quotes the text.
func Parse(text string) (*Token, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("longer than a token can be (%d bytes): copied with something else?", MaxSize)
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
	body, ok := strings.CutPrefix(text, prefix)
	switch {
	case !ok && Looks(text):
		return nil, errors.New("a token of another version of netcombiner: use the same version on both ends")
	case !ok:
		return nil, fmt.Errorf("not a token, which begins with %s: copied whole?", prefix)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(b) < 4 {
		return nil, errMangled
	}
	b, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.ChecksumIEEE(b) != sum {
		return nil, errMangled
	}
	t, err := decode(b)
	if err == nil {
		err = t.check()
	}
	if err != nil { // its sum is right: somebody made it so
		return nil, fmt.Errorf("the token is not one that netcombiner makes: %w", err)
	}
	return t, nil
}

// Looks says that text begins as a token of any version does, right or wrong: nc2.
func Looks(text string) bool {
	version, _, found := strings.Cut(text, ".")
	number, nc := strings.CutPrefix(version, "nc")
	return found && nc && number != "" && len(number) < 4 && strings.Trim(number, "0123456789") == ""
}

func decode(b []byte) (*Token, error) {
	r := reader{b: b}
	t := &Token{Suite: word(&r, suites), Routing: word(&r, routings)}
	made, lifetime := r.uint32(), r.uint32()
	if made != 0 {
		t.Made = time.Unix(int64(made), 0)
		if lifetime != 0 {
			t.Expires = time.Unix(int64(made)+int64(lifetime), 0)
		}
	} else if lifetime != 0 {
		r.fail("an expiry without a date")
	}
	copy(t.Key[:], r.bytes(config.KeySize))
	t.Host = string(r.bytes(int(r.byte())))
	for range r.count(maxWays) {
		t.Ways = append(t.Ways, Way{word(&r, transports), r.uint16()})
	}
	for range r.count(maxAddresses) {
		bits := int(r.byte())
		addr, ok := netip.AddrFromSlice(r.bytes(int(r.byte())))
		if !ok {
			r.fail("an address of a wrong length")
		}
		t.Address = append(t.Address, netip.PrefixFrom(addr, bits))
	}
	if len(r.b) > 0 {
		r.fail("something after its end")
	}
	return t, r.err
}

// check finds what no token of ours has.
func (t *Token) check() error {
	switch {
	case t.Key.IsZero():
		return errors.New("no key")
	case t.Host == "" || len(t.Host) > maxHost || strings.ContainsFunc(t.Host, notInHost):
		return errors.New("its host is neither a name nor an address")
	case !slices.Contains(suites, t.Suite):
		return errors.New("an unknown suite")
	case !slices.Contains(routings, t.Routing):
		return errors.New("an unknown kind of routing")
	case len(t.Ways) == 0 || len(t.Ways) > maxWays:
		return fmt.Errorf("%d transports; allowed: 1 to %d", len(t.Ways), maxWays)
	case len(t.Address) > maxAddresses:
		return fmt.Errorf("%d addresses; allowed: up to %d", len(t.Address), maxAddresses)
	case t.Made.IsZero() && !t.Expires.IsZero():
		return errors.New("an expiry without a date")
	case !t.Expires.IsZero() && !t.Expires.After(t.Made):
		return errors.New("an expiry before its date")
	}
	for _, w := range t.Ways {
		if !slices.Contains(transports, w.Transport) || (w.Port == 0) != (w.Transport == "ip") {
			return errors.New("an unknown transport, or a wrong port")
		}
	}
	for _, a := range t.Address {
		if !a.IsValid() || a.Addr().Zone() != "" || a.Addr().Is4In6() {
			return errors.New("an address that no interface has")
		}
	}
	return checkDates(t.Made, t.Expires)
}

// checkDates refuses what does not fit into the format's 32 bits.
func checkDates(made, expires time.Time) error {
	const latest = 1<<32 - 1
	if !made.IsZero() && (made.Unix() <= 0 || made.Unix() > latest) {
		return errors.New("a date before 1970 or after 2105")
	}
	if !expires.IsZero() && expires.Unix()-made.Unix() > latest {
		return errors.New("an expiry more than a century away")
	}
	return nil
}

// notInHost says of a character that it is in no name and no address. What
// remains cannot leave the line of a configuration.
func notInHost(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == ':' || r == '-' || r == '_')
}

// reader takes a body apart. After the first error everything it reads is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(why string) {
	if r.err == nil {
		r.err = errors.New(why)
	}
	r.b = nil
}

// bytes returns the next n bytes.
func (r *reader) bytes(n int) []byte {
	if len(r.b) < n {
		r.fail("it ends too early")
		return make([]byte, n)
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) byte() byte     { return r.bytes(1)[0] }
func (r *reader) uint16() uint16 { return binary.BigEndian.Uint16(r.bytes(2)) }
func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.bytes(4)) }

// count returns how many of something follow.
func (r *reader) count(most int) int {
	n := int(r.byte())
	if n > most {
		r.fail("too much of something")
		return 0
	}
	return n
}

func word[T ~string](r *reader, words []T) T {
	n := int(r.byte())
	if n >= len(words) {
		r.fail("a word that this version does not know")
		return ""
	}
	return words[n]
}
