package config

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
)

// KeySize is the length of the shared key, in bytes.
const KeySize = 32

// redacted stands wherever a key would be printed.
const redacted = "(secret)"

// Key is the secret both portals share. It prints as "(secret)" whatever the
// verb, in JSON and in slog: only Base64 shows it. (fmt calls no method on an
// unexported struct field, so keep a Key in an exported one.)
type Key [KeySize]byte

// GenerateKey makes a new key from the system's random source.
func GenerateKey() Key {
	var k Key
	// crypto/rand.Read never fails: it ends the program instead.
	_, _ = rand.Read(k[:])
	return k
}

// ParseKey reads a key as Base64 wrote it. Its error never quotes the text.
func ParseKey(text string) (Key, error) {
	var k Key
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	switch {
	case err != nil:
		return Key{}, &fault{"not base64", keyAllowed}
	case len(raw) != KeySize:
		return Key{}, &fault{fmt.Sprintf("%d bytes long", len(raw)), keyAllowed}
	}
	copy(k[:], raw)
	if k.IsZero() {
		return Key{}, &fault{"all zeros, so no secret", keyAllowed}
	}
	return k, nil
}

const keyAllowed = "32 bytes in base64, the same on both portals (netcombiner genkey makes one)"

// Base64 is the key itself, as it stands in a configuration: 44 characters.
func (k Key) Base64() string { return base64.StdEncoding.EncodeToString(k[:]) }

// IsZero says whether no key was set.
func (k Key) IsZero() bool { return bytes.Equal(k[:], make([]byte, KeySize)) }

// Format makes every fmt verb print "(secret)".
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns "(secret)".
func (k Key) String() string { return redacted }

// GoString returns "(secret)".
func (k Key) GoString() string { return redacted }

// MarshalText returns "(secret)", and so does every encoder built on it.
func (k Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "(secret)".
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }
