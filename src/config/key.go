package config

// KeySize is the length of the shared key, in bytes.
const KeySize = 32

// Key is the secret both portals share. It prints as "(secret)" whatever the verb.
type Key [KeySize]byte
