package token

import (
	"time"

	"netcombiner/src/config"
)

// Fields is what a token says, in the words of the configuration: for a program that
// makes one itself. It holds the key as it is.
type Fields struct {
	Key     string   `json:"key"`
	Address []string `json:"address"` // of the local portal's interface
	Suite   string   `json:"suite"`
	Routing string   `json:"routing"`
	Paths   []Remote `json:"paths"`   // the best first; a link takes one of them
	Expires string   `json:"expires"` // RFC 3339; empty: never
}

// Remote is one way to the remote portal.
type Remote struct {
	Transport string `json:"transport"`
	Remote    string `json:"remote"` // host:port; of ip the host
}

// Fields returns what t says.
func (t *Token) Fields() Fields {
	f := Fields{Key: t.Key.Base64(), Address: []string{}, Suite: t.Suite, Routing: string(t.Routing)}
	for _, a := range t.Address {
		f.Address = append(f.Address, a.String())
	}
	for _, w := range t.Ways {
		f.Paths = append(f.Paths, Remote{w.Transport, config.HostPort{Host: t.Host, Port: w.Port}.String()})
	}
	if !t.Expires.IsZero() {
		f.Expires = t.Expires.UTC().Format(time.RFC3339)
	}
	return f
}
