#!/usr/bin/env python3
"""Writes vectors.json beside itself: whole handshakes, computed from the Noise
specification (revision 34), RFC 7748 and RFC 8439 with nothing but Python's own
library, so that the Go code is held to an implementation that is not its own.
Slow and not constant-time: for test vectors only."""
import hashlib, hmac, json, os, struct

P = 2**255 - 19


def x25519(scalar, u):
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k = int.from_bytes(k, "little")
    x1 = int.from_bytes(u, "little") & (2**255 - 1)
    x2, z2, x3, z3 = 1, 0, x1, 1
    for t in reversed(range(255)):
        bit = k >> t & 1
        if bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
        plus, minus = x2 + z2, x2 - z2
        aa, bb = plus * plus % P, minus * minus % P
        da, cb = (x3 - z3) * plus % P, (x3 + z3) * minus % P
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        e = (aa - bb) % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
        if bit:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


BASE = (9).to_bytes(32, "little")


def chacha20_block(key, counter, nonce):
    start = list(struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce))
    s = start[:]

    def quarter(a, b, c, d):
        for x, y, z, n in (a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7):
            s[x] = (s[x] + s[y]) & 0xFFFFFFFF
            s[z] ^= s[x]
            s[z] = (s[z] << n | s[z] >> 32 - n) & 0xFFFFFFFF

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(s, start)))


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(message), 16):
        total = (total + int.from_bytes(message[i:i + 16] + b"\1", "little")) * r % (2**130 - 5)
    return (total + int.from_bytes(key[16:], "little") & 2**128 - 1).to_bytes(16, "little")


def seal(key, n, ad, plaintext):
    nonce = bytes(4) + struct.pack("<Q", n)
    stream = b"".join(chacha20_block(key, 1 + i, nonce) for i in range(len(plaintext) // 64 + 1))
    text = bytes(a ^ b for a, b in zip(plaintext, stream))
    pad = lambda b: b + bytes(-len(b) % 16)
    sizes = struct.pack("<QQ", len(ad), len(text))
    return text + poly1305(chacha20_block(key, 0, nonce)[:32], pad(ad) + pad(text) + sizes)


def blake2s(data):
    return hashlib.blake2s(data).digest()


def hkdf(ck, material, n):
    mac = lambda key, data: hmac.new(key, data, hashlib.blake2s).digest()
    temp, out = mac(ck, material), b""
    outs = []
    for i in range(n):
        out = mac(temp, out + bytes([i + 1]))
        outs.append(out)
    return outs


class Symmetric:
    """The Noise specification's SymmetricState with its CipherState."""

    def __init__(self, prologue):
        self.h = blake2s(b"Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s")
        self.ck, self.n = self.h, 0
        self.mix_hash(prologue)

    def mix_hash(self, data):
        self.h = blake2s(self.h + data)

    def mix_key(self, material):
        self.ck, self.k = hkdf(self.ck, material, 2)
        self.n = 0

    def mix_key_and_hash(self, material):
        self.ck, temp, self.k = hkdf(self.ck, material, 3)
        self.mix_hash(temp)
        self.n = 0

    def encrypt_and_hash(self, plaintext):
        sealed = seal(self.k, self.n, self.h, plaintext)
        self.n += 1
        self.mix_hash(sealed)
        return sealed


def prefix(kind):
    return bytes([1 << 5 | kind, 0])


def outer(psk, message):
    key = hashlib.blake2s(b"netcombiner 1 handshake mac", key=psk).digest()
    return message + hashlib.blake2s(message, key=key, digest_size=16).digest()


def hello_of(psk, private, hello):
    clear = prefix(1) + bytes.fromhex(hello["cookie"])
    s = Symmetric(b"netcombiner 1" + clear)
    public = x25519(private, BASE)
    s.mix_key_and_hash(psk)
    s.mix_hash(public)
    s.mix_key(public)
    suites = bytes(hello["suites"])
    payload = bytes.fromhex(hello["instance"]) + bytes([hello["in_use"], hello["flags"]]) + suites + bytes(8 - len(suites))
    return outer(psk, clear + public + s.encrypt_and_hash(payload)), s, public


def vector(name, psk, private, hello, peer_private, reply):
    message, s, public = hello_of(psk, private, hello)
    echo = message[-16:-8]
    peer_public = x25519(peer_private, BASE)
    s.mix_hash(peer_public)
    s.mix_key(peer_public)
    s.mix_key(x25519(peer_private, public))
    payload = bytes.fromhex(reply["instance"]) + bytes([reply["epoch"], reply["suite"], reply["flags"]])
    answer = outer(psk, prefix(2) + echo + peer_public + s.encrypt_and_hash(payload))
    to_responder, to_initiator = hkdf(s.ck, b"", 2)
    retry_cookie = blake2s(name.encode())[:16]
    return {
        "name": name,
        "psk": psk.hex(),
        "initiator_ephemeral_private": private.hex(),
        "hello": hello,
        "hello_message": message.hex(),
        "retry_cookie": retry_cookie.hex(),
        "retry_message": outer(psk, prefix(3) + echo + retry_cookie).hex(),
        "responder_ephemeral_private": peer_private.hex(),
        "reply": reply,
        "reply_message": answer.hex(),
        "key_initiator_to_responder": to_responder.hex(),
        "key_responder_to_initiator": to_initiator.hex(),
    }


# The curve first, against RFC 7748, section 5.2.
assert x25519(bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
              bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
              ).hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"

first = vector(
    "a stranger, without a cookie", bytes(range(32)), bytes(range(32, 64)),
    {"instance": "0123456789abcdef", "cookie": bytes(16).hex(), "in_use": 0, "flags": 0, "suites": [2]},
    bytes(range(64, 96)),
    {"instance": "fedcba9876543210", "epoch": 0, "suite": 2, "flags": 0})
second = vector(
    "the same, with the cookie it was given", bytes(range(32)), bytes(range(96, 128)),
    {"instance": "0123456789abcdef", "cookie": first["retry_cookie"], "in_use": 0, "flags": 1, "suites": [2]},
    bytes(range(128, 160)),
    {"instance": "fedcba9876543210", "epoch": 3, "suite": 2, "flags": 1})
third = vector(
    "a rekey that offers eight suites", bytes([255] * 32), bytes(range(160, 192)),
    {"instance": "ffffffffffffffff", "cookie": bytes(16).hex(), "in_use": 0b1011, "flags": 255, "suites": [9, 8, 7, 6, 5, 4, 3, 2]},
    bytes(range(192, 224)),
    {"instance": "0000000000000000", "epoch": 2, "suite": 9, "flags": 255})

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json"), "w") as f:
    json.dump([first, second, third], f, indent=2)
    f.write("\n")
