package main

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

// Of the ways in which pkg trusts a repository, fingerprints are the one that all
// of its versions have had, that FreeBSD, OPNsense and pfSense use themselves, and
// that lets a key follow another: the public key comes with the signature, and the
// host has only its sum.

// fingerprintFile is what a host needs to trust the repository.
const fingerprintFile = "netcombiner.fingerprint"

// signer signs indexes. A nil one signs nothing.
type signer struct {
	private *rsa.PrivateKey
	public  []byte // PEM
}

// readKey reads the private key of a file; no name is no key.
func readKey(file string) (*signer, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("KEY=%s: %w; one is made by: openssl genrsa -out key.pem 4096", file, err)
	}
	return newSigner(key)
}

func parseKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("no key of openssl's in it")
	}
	switch block.Type {
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		if key, ok := private.(*rsa.PrivateKey); ok {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%s: an RSA key without a password it must be", block.Type)
}

func newSigner(key *rsa.PrivateKey) (*signer, error) {
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	return &signer{key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}, err
}

// signed is a member of an index with its signature and the public key before it.
// What is signed is the member's sum, in hex.
func (s *signer) signed(member File) ([]File, error) {
	if s == nil {
		return []File{member}, nil
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%x", sha256.Sum256(member.Data)))
	signature, err := rsa.SignPKCS1v15(nil, s.private, crypto.SHA256, sum[:])
	return []File{meta(member.Name+".sig", signature), meta(member.Name+".pub", s.public), member}, err
}

// fingerprint is the file for /usr/local/etc/pkg/fingerprints/netcombiner/trusted.
func (s *signer) fingerprint() []byte {
	return fmt.Appendf(nil, "function: sha256\nfingerprint: %x\n", sha256.Sum256(s.public))
}
