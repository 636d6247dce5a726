#!/usr/bin/env python3
"""Writes vectors.json beside itself: packets of the data chain as Python's hashlib and
cryptography (OpenSSL) make them, so that the Go code is held to implementations that
are not its own."""
import hashlib, ipaddress, json, os, struct
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305


def endpoint(address, port):
    ip = ipaddress.ip_address(address)
    packed = ip.packed if ip.version == 6 else bytes(10) + b"\xff\xff" + ip.packed
    return packed + struct.pack(">H", port)


def vector(name, suite, key, message, previous, sequence, source=None, destination=None, header=0, path=0, number=0):
    packet = message + struct.pack(">HQ", previous, sequence)
    bound = endpoint(*source) + endpoint(*destination) if source else b""
    nonce = struct.pack(">B7xI", path, number)
    if suite == "blake2s":
        packet += hashlib.blake2s(bound + packet, key=key, digest_size=16).digest()
    if suite == "chacha20poly1305":
        packet = packet[:header] + ChaCha20Poly1305(key).encrypt(nonce, packet[header:], bound + packet[:header])
    if suite == "aes128gcm":
        packet = packet[:header] + AESGCM(key[:16]).encrypt(nonce, packet[header:], bound + packet[:header])
    return {
        "name": name, "suite": suite, "key": key.hex(),
        "message": message.hex(), "header": header, "path": path, "number": number,
        "previous": previous, "sequence": str(sequence),
        "source": "%s" % joined(source), "destination": "%s" % joined(destination),
        "packet": packet.hex(),
    }


def joined(end):
    if end is None:
        return ""
    return "[%s]:%d" % end if ":" in end[0] else "%s:%d" % end


key = bytes(range(32))
v4 = ("192.0.2.1", 4725), ("198.51.100.7", 40000)
v6 = ("2001:db8::1", 4725), ("2001:db8:1::7", 40000)
vectors = [
    vector("empty message", "blake2s", key, b"", 0, 1),
    vector("short message", "blake2s", key, b"netcombiner", 3, 0x0102030405060708),
    vector("1400 bytes", "blake2s", bytes(32), bytes(i % 251 for i in range(1400)), 65535, 2**64 - 1),
    vector("bound to IPv4 addresses", "blake2s", key, b"netcombiner", 1, 2, *v4),
    vector("bound to IPv6 addresses", "blake2s", key, b"netcombiner", 1, 2, *v6),
    vector("no MAC", "none", key, b"netcombiner", 1, 2),
]
for suite in "chacha20poly1305", "aes128gcm":
    long = bytes(i % 251 for i in range(1406))
    vectors += [
        vector(suite + ", header alone", suite, key, b"header", 0, 1, header=6),
        vector(suite + ", no header", suite, key, b"netcombiner", 3, 0x0102030405060708, path=1, number=1),
        vector(suite + ", short message", suite, key, b"headernetcombiner", 3, 4, header=6, path=63, number=0x01020304),
        vector(suite + ", 1400 bytes", suite, bytes(32), long, 65535, 2**64 - 1, header=6, path=2, number=2**32 - 1),
        vector(suite + ", bound to IPv4 addresses", suite, key, b"headernetcombiner", 1, 2, *v4, header=6, path=5, number=6),
        vector(suite + ", bound to IPv6 addresses", suite, key, b"headernetcombiner", 1, 2, *v6, header=6, path=5, number=6),
    ]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json"), "w") as f:
    json.dump(vectors, f, indent=2)
    f.write("\n")
