package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// usignKey signs what opkg reads, as usign and OpenBSD's signify do.
type usignKey struct {
	number  []byte // by which opkg finds the public half in /etc/opkg/keys
	private ed25519.PrivateKey
}

// readUsignKey takes the text of a secret key's file: a comment, and in base64
// "Ed", "BK", the rounds and the salt of a password, a sum, the number, the key.
func readUsignKey(text []byte) (*usignKey, error) {
	lines := strings.SplitN(string(text), "\n", 3)
	if len(lines) < 2 || !strings.HasPrefix(lines[0], "untrusted comment:") {
		return nil, errors.New("no secret key of usign in it; one is made by: signify-openbsd -G -n -p key.pub -s key.sec")
	}
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(lines[1]))
	if err != nil || len(data) != 104 || string(data[:4]) != "EdBK" {
		return nil, errors.New("the line after the comment is no secret key of usign")
	}
	if !bytes.Equal(data[4:8], make([]byte, 4)) {
		return nil, errors.New("the key has a password: one without is made by: signify-openbsd -G -n -p key.pub -s key.sec")
	}
	sum := sha512.Sum512(data[40:])
	if !bytes.Equal(sum[:8], data[24:32]) {
		return nil, errors.New("the key is damaged: its sum is another")
	}
	return &usignKey{data[32:40], ed25519.PrivateKey(data[40:])}, nil
}

func (k *usignKey) file(comment string, data []byte) []byte {
	all := append(append([]byte("Ed"), k.number...), data...)
	return fmt.Appendf(nil, "untrusted comment: %s %x\n%s\n", comment, k.number, base64.StdEncoding.EncodeToString(all))
}

func (k *usignKey) sign(data []byte) []byte {
	return k.file("signed by key", ed25519.Sign(k.private, data))
}

// public is the half for opkg-key add.
func (k *usignKey) public() []byte {
	return k.file("public key", k.private.Public().(ed25519.PublicKey))
}
