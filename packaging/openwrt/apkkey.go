package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// apkKey signs what apk reads: an elliptic or an RSA key, as openssl makes them.
type apkKey struct {
	private crypto.Signer
	id      []byte // by which apk finds the public half in /etc/apk/keys
}

// readApkKey takes a PEM file's text.
func readApkKey(text []byte) (*apkKey, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var private any
		var err error
		switch block.Type {
		case "EC PRIVATE KEY":
			private, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "PRIVATE KEY":
			private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		default:
			continue // the curve's parameters, which openssl puts before the key
		}
		if err != nil {
			return nil, err
		}
		return newApkKey(private)
	}
	return nil, fmt.Errorf("no private key of apk in it; one is made by: openssl ecparam -name prime256v1 -genkey -noout -out key.pem")
}

func newApkKey(private any) (*apkKey, error) {
	var public []byte
	switch key := private.(type) {
	case *ecdsa.PrivateKey:
		var err error
		if public, err = key.PublicKey.Bytes(); err != nil {
			return nil, err
		}
	case *rsa.PrivateKey:
		public = x509.MarshalPKCS1PublicKey(&key.PublicKey)
	default:
		return nil, fmt.Errorf("a key of a kind that apk does not take: elliptic or RSA it must be")
	}
	sum := sha512.Sum512(public)
	return &apkKey{private.(crypto.Signer), sum[:16]}, nil
}

// sign makes the data of a signature block, always the same for the same bytes.
// What is signed is the schema, how it is signed and by whom, and the sum of
// the database.
func (k *apkKey) sign(schema string, database []byte) ([]byte, error) {
	const version, hash = 0, 4 // of signatures; SHA-512
	head := append([]byte{version, hash}, k.id...)
	sum := sha512.Sum512(database)
	digest := sha512.Sum512(append(append([]byte(schema), head...), sum[:]...))
	signature, err := k.private.Sign(nil, digest[:], crypto.SHA512)
	return append(head, signature...), err
}

// public is the half for /etc/apk/keys.
func (k *apkKey) public() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k.private.Public())
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
}
