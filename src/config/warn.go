package config

import (
	"fmt"
	"os"
)

// commonMTU is what a path of 1500 bytes carries: less 20 of IPv4, 8 of UDP,
// and 32 of ours.
const commonMTU = 1440

// Warnings says what in a valid configuration is most likely not meant: one
// line each. path is the file that c was read from, or Stdin.
func Warnings(path string, c *Config) []string {
	var all []string
	warn := func(format string, args ...any) { all = append(all, path+": "+fmt.Sprintf(format, args...)) }

	secret := path
	if c.Interface.KeyFile != "" {
		secret = c.Interface.KeyFile
	}
	if info, err := os.Stat(secret); err == nil && secret != Stdin && info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 {
		warn("everyone can read the key; chmod 600 %s", secret)
	}
	if c.Interface.Suite == "none" {
		warn("Suite = none: nothing proves where packets come from; only for paths inside a VPN")
	}
	if c.Interface.MTU > commonMTU {
		warn("MTU = %d: common links carry at most %d inside the tunnel, and longer packets would be lost; auto finds the best", c.Interface.MTU, commonMTU)
	}
	if m := c.Interface.Metrics; m.IsValid() && !(m.Addr().IsLoopback() || m.Addr().IsPrivate() || m.Addr().IsLinkLocalUnicast()) {
		warn("Metrics = %v: whoever reaches that address reads names, states and traffic of the paths; 127.0.0.1:%d is for this host alone", m, m.Port())
	}
	pathWarnings(c.Paths, warn)
	bypassWarnings(c, warn)
	return all
}

// pathWarnings says what in the paths is most likely not meant.
func pathWarnings(paths []Path, warn func(format string, args ...any)) {
	type way struct {
		transport, bind string
		protocol        uint8
		remote          HostPort
	}
	seen := make(map[way]string)
	sends, receives := false, false
	for _, p := range paths {
		w := way{p.Transport, p.Device, p.Protocol, p.Remote}
		if p.Source.IsValid() {
			w.bind = p.Source.String()
		}
		if twin, ok := seen[w]; ok {
			warn("paths %s and %s take the same way: no gain, unless their Bind differs", twin, p.Name)
		} else {
			seen[w] = p.Name
		}
		sends = sends || p.Direction != Receive
		receives = receives || p.Direction != Send
	}
	if len(paths) > 0 && !(sends && receives) {
		warn("every path goes one way only: no connection works without an answer")
	}
}
