package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/blake2s"
)

// ID is a suite's number on the wire. 0 is never a suite.
type ID uint8

// 3 and 4 are set aside for chacha20poly1305 and aes128gcm.
const (
	None    ID = 1 // no MAC: for paths inside a VPN, which authenticates already (the paper's 2.2.4)
	Blake2s ID = 2 // BLAKE2s-128 keyed: the paper's
)

// String is the suite's word in the configuration.
func (id ID) String() string {
	if s, ok := Lookup(id); ok {
		return s.Name
	}
	return fmt.Sprintf("suite %d", uint8(id))
}

// Suite is a kind of MAC.
type Suite struct {
	ID   ID
	Name string // the word in the configuration and in the status
	// Overhead is what it appends to each packet, in bytes.
	Overhead int

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

// suites are all there are, in the order in which `auto` offers them: fastest
// first. None is not something that auto offers.
var suites = []Suite{
	{
		ID: Blake2s, Name: "blake2s", Overhead: blake2s.Size128,
		generator: func(key [KeySize]byte, bind bool) MacGenerator { return newBlake2s(key, bind) },
		verifier:  func(key [KeySize]byte, bind bool) MacVerifier { return newBlake2s(key, bind) },
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
// it likes best first. "auto" offers every suite but none; any other word
// offers that suite alone.
func Offer(name string) ([]ID, error) {
	var all []ID
	words := []string{"auto"}
	for _, s := range suites {
		if s.Name == name {
			return []ID{s.ID}, nil
		}
		if s.ID != None {
			all = append(all, s.ID)
		}
		words = append(words, s.Name)
	}
	if name == "auto" {
		return all, nil
	}
	return nil, fmt.Errorf("suite %q: must be one of %s", name, strings.Join(words, ", "))
}

// ErrNoSuite says that the portals offer no suite in common.
var ErrNoSuite = errors.New("auth: no suite in common: set the same Suite on both portals, or auto on both")

// Choose is how the responder of a handshake answers an offer: with the first
// of theirs that is also one of mine. The initiator's order decides because
// the initiator is the router at home, mostly the slower of the two; it puts
// first what its CPU does fastest. What theirs holds that this version does
// not know is passed over.
//
// None is chosen only if neither side offers anything else: a portal set to
// auto never ends up without a MAC, whatever the other says.
func Choose(mine, theirs []ID) (Suite, error) {
	for _, id := range theirs {
		if id == None && !(only(mine, None) && only(theirs, None)) {
			continue
		}
		if s, ok := Lookup(id); ok && slices.Contains(mine, id) {
			return s, nil
		}
	}
	return Suite{}, ErrNoSuite
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
