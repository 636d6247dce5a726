package auth

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/sys/cpu"
)

// ID is a suite's number on the wire. 0 is never a suite.
type ID uint8

const (
	None             ID = 1 // no MAC: for paths inside a VPN, which authenticates already (the paper's 2.2.4)
	Blake2s          ID = 2 // BLAKE2s-128 keyed: the paper's
	ChaCha20Poly1305 ID = 3 // encrypts (RFC 8439)
	AES128GCM        ID = 4 // encrypts (NIST SP 800-38D)
)

// String is the suite's word in the configuration.
func (id ID) String() string {
	if s, ok := Lookup(id); ok {
		return s.Name
	}
	return fmt.Sprintf("suite %d", uint8(id))
}

// Suite is a kind of MAC, with encryption or without.
type Suite struct {
	ID   ID
	Name string // the word in the configuration and in the status
	// Overhead is what it appends to each packet, in bytes.
	Overhead int
	// Encrypts says that nobody between the portals can read what it carries.
	Encrypts bool

	generator func(key [KeySize]byte, bindAddresses bool) MacGenerator
	verifier  func(key [KeySize]byte, bindAddresses bool) MacVerifier
}

// NewGenerator makes a generator for one goroutine. With bindAddresses the MAC
// also covers Meta.Source and Meta.Destination (the paper's 2.2.2), so that a
// packet is authentic only between the addresses it was sent between: both
// ends must agree on it, and no NAT may stand between them. None binds nothing.
func (s Suite) NewGenerator(key [KeySize]byte, bindAddresses bool) MacGenerator {
	return s.generator(key, bindAddresses)
}

// NewVerifier makes the verifier for what NewGenerator makes with the same
// arguments.
func (s Suite) NewVerifier(key [KeySize]byte, bindAddresses bool) MacVerifier {
	return s.verifier(key, bindAddresses)
}

// suites are all there are.
var suites = []Suite{
	{
		ID: Blake2s, Name: "blake2s", Overhead: blake2s.Size128,
		generator: func(key [KeySize]byte, bind bool) MacGenerator { return newBlake2s(key, bind) },
		verifier:  func(key [KeySize]byte, bind bool) MacVerifier { return newBlake2s(key, bind) },
	},
	{
		ID: ChaCha20Poly1305, Name: "chacha20poly1305", Overhead: tagLen, Encrypts: true,
		generator: func(key [KeySize]byte, bind bool) MacGenerator { return newChaCha20Poly1305(key, bind) },
		verifier:  func(key [KeySize]byte, bind bool) MacVerifier { return newChaCha20Poly1305(key, bind) },
	},
	{
		ID: AES128GCM, Name: "aes128gcm", Overhead: tagLen, Encrypts: true,
		generator: func(key [KeySize]byte, bind bool) MacGenerator { return newAES128GCM(key, bind) },
		verifier:  func(key [KeySize]byte, bind bool) MacVerifier { return newAES128GCM(key, bind) },
	},
	{
		ID: None, Name: "none",
		generator: func([KeySize]byte, bool) MacGenerator { return none{} },
		verifier:  func([KeySize]byte, bool) MacVerifier { return none{} },
	},
}

// Lookup finds a suite by its number.
func Lookup(id ID) (Suite, bool) {
	i := slices.IndexFunc(suites, func(s Suite) bool { return s.ID == id })
	if i < 0 {
		return Suite{}, false
	}
	return suites[i], true
}

// Offer is what a portal configured with name offers in a handshake, the one
// it likes best first. "auto" offers every suite but none, the fastest that
// encrypts on this CPU first; any other word offers that suite alone.
func Offer(name string) ([]ID, error) {
	words := []string{"auto"}
	for _, s := range suites {
		if s.Name == name {
			return []ID{s.ID}, nil
		}
		words = append(words, s.Name)
	}
	if name == "auto" {
		return auto(fastAES()), nil
	}
	return nil, fmt.Errorf("suite %q: must be one of %s", name, strings.Join(words, ", "))
}

// auto is what Offer("auto") offers, on a CPU with instructions for AES-GCM and
// on one without. There AES goes by tables, which is the slowest of all, and
// tells others on the same CPU something of the key.
//
// To seal 1,400 bytes takes aes128gcm, chacha20poly1305 and blake2s 0.4, 0.7 and
// 2.4 µs on amd64, and 10.5, 2.7 and 3.5 there without assembly. On 32 bits
// blake2s is the fastest: chacha20poly1305 takes 1.3 times as long on arm, and 3.4
// on mips (both emulated). That is what encryption costs.
func auto(fastAES bool) []ID {
	if fastAES {
		return []ID{AES128GCM, ChaCha20Poly1305, Blake2s}
	}
	return []ID{ChaCha20Poly1305, Blake2s, AES128GCM}
}

// fastAES says whether Go uses AES and carry-less multiplication instructions
// of this CPU.
func fastAES() bool {
	switch runtime.GOARCH {
	case "amd64":
		return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ && cpu.X86.HasSSE41 && cpu.X86.HasSSSE3
	case "arm64":
		return cpu.ARM64.HasAES && cpu.ARM64.HasPMULL
	}
	return false
}

// ErrNoSuite says that the portals offer no suite in common.
var ErrNoSuite = errors.New("auth: no suite in common: set the same Suite on both portals, or auto on both")

// Choose is how the responder of a handshake answers an offer: with the suite
// that is best for both, for the slower portal is as fast as the tunnel gets.
// That is the one whose worse place in the two offers is the foremost; of
// equals the one that the initiator likes better. It is the router at home,
// mostly the slower of the two. What theirs holds that this version does not
// know is passed over.
//
// None is chosen only if neither side offers anything else: a portal set to
// auto never ends up without a MAC, whatever the other says.
func Choose(mine, theirs []ID) (Suite, error) {
	var best Suite
	foremost := len(mine) + len(theirs)
	for place, id := range theirs {
		if id == None && !(only(mine, None) && only(theirs, None)) {
			continue
		}
		s, known := Lookup(id)
		if at := slices.Index(mine, id); known && at >= 0 && max(at, place) < foremost {
			best, foremost = s, max(at, place)
		}
	}
	if best.ID == 0 {
		return Suite{}, ErrNoSuite
	}
	return best, nil
}

func only(ids []ID, id ID) bool {
	return !slices.ContainsFunc(ids, func(other ID) bool { return other != id })
}

// none is the suite without a MAC.
type none struct{}

func (none) Overhead() int { return 0 }

func (none) Generate(msg []byte, _ *Meta) []byte { return msg }

func (none) Verify(msg []byte, m *Meta) ([]byte, error) {
	msg, _, err := strip(msg, 0, m)
	return msg, err
}
