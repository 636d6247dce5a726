//go:build linux

package testbed

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"netcombiner/src/control"
	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/netns"
)

// subject is what carries the traffic: a tunnel, or none.
type subject struct {
	name  string
	start func(ctx context.Context, s *stage) error // returns once it carries packets
	// Of netcombiner's only:
	transport, suite string
	paths            int
}

func (s subject) ours() bool { return s.paths > 0 }

// The subjects that others are compared with.
const (
	noTunnel  = "none"
	wireguard = "wireguard-go"
)

// subjects lists what is measured, in this order. The wireguard-go that Debian has is of 2022; the one that
// netcombiner takes its TUN from hands packets over in batches.
func (c BenchConfig) subjects() []subject {
	all := []subject{
		{name: noTunnel, start: func(context.Context, *stage) error { return nil }},
		{name: wireguard, start: startWireguard(wireguard)},
	}
	if c.Wireguard != "" {
		all = append(all, subject{name: wireguard + "-new", start: startWireguard(c.Wireguard)})
	}
	add := func(name, transport, suite string, paths int) {
		o := subject{name: name, transport: transport, suite: suite, paths: paths}
		o.start = func(ctx context.Context, s *stage) error { return c.startOurs(ctx, s, o) }
		all = append(all, o)
	}
	for _, suite := range []string{"auto", "chacha20poly1305", "aes128gcm", "blake2s", "none"} {
		add("udp-"+suite, "udp", suite, 1)
	}
	for _, transport := range []string{"tcp", "ip"} {
		add(transport+"-auto", transport, "auto", 1)
	}
	add("ip-none", "ip", "none", 1)
	for _, transport := range []string{"udp", "tcp", "ip"} {
		add("two-"+transport+"-auto", transport, "auto", 2)
	}
	return all
}

// The tunnels' own addresses.
var (
	tunnelNear = netip.MustParsePrefix("172.19.152.3/31")
	tunnelFar  = netip.MustParsePrefix("172.19.152.2/31")
)

// startWireguard starts a wireguard-go on both machines as wg-quick(8) would.
func startWireguard(program string) func(context.Context, *stage) error {
	const device, port = "wg0", "51820"
	return func(ctx context.Context, s *stage) error {
		s.server = tunnelFar.Addr()
		var keys [2]struct{ secret, public string }
		for i := range keys {
			var err error
			if keys[i].secret, keys[i].public, err = wireguardKey(); err != nil {
				return err
			}
		}
		for i, end := range []struct {
			on       *netns.Namespace
			own, far netip.Prefix
			endpoint string
		}{
			{s.near, tunnelNear, tunnelFar, "Endpoint = " + cableEnd(0, 2).Addr().String() + ":" + port},
			{s.far, tunnelFar, tunnelNear, ""},
		} {
			if err := s.start(end.on, program, "-f", device); err != nil {
				return err
			}
			config := fmt.Sprintf("[Interface]\nPrivateKey = %s\nListenPort = %s\n[Peer]\nPublicKey = %s\nAllowedIPs = %v/32\n%s\n",
				keys[i].secret, port, keys[1-i].public, end.far.Addr(), end.endpoint)
			if err := end.on.WriteFile("/run/wg0.conf", []byte(config), 0o600); err != nil {
				return err
			}
			// wg removes a socket that nobody listens on yet.
			if err := s.until(ctx, func() error { return listens(end.on, "/var/run/wireguard/"+device+".sock") }); err != nil {
				return err
			}
			if err := errors.Join(run(end.on, "wg", "setconf", device, "/run/wg0.conf"), end.on.Address(device, end.own), run(end.on, "ip", "link", "set", device, "mtu", "1420", "up")); err != nil {
				return err
			}
		}
		return nil
	}
}

// listens says whether somebody listens on a machine's socket.
func listens(on *netns.Namespace, socket string) error {
	return on.Do(func() error {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
		}
		return err
	})
}

// startOurs starts both portals, without routing, and waits until all is settled.
func (c BenchConfig) startOurs(ctx context.Context, s *stage, o subject) error {
	texts := o.configs()
	err := c.startPortal(s, s.far, texts.far)
	if err == nil {
		err = s.until(ctx, func() error { _, err := status(s.far); return err })
	}
	if err == nil {
		err = c.startPortal(s, s.near, texts.near)
	}
	if err != nil {
		return err
	}
	var mtus [2]int
	same := 0
	return s.until(ctx, func() error {
		for i, on := range []*netns.Namespace{s.near, s.far} {
			mtu, err := up(on, o.paths)
			if err != nil {
				return err
			}
			if mtus[i] != mtu {
				mtus[i], same = mtu, 0
			}
		}
		if same++; same < 60 { // for a third of a second and more
			return fmt.Errorf("the MTU is %d, and may still grow", mtus)
		}
		return nil
	})
}

// up returns a machine's MTU, once its paths are up.
func up(on *netns.Namespace, paths int) (mtu int, err error) {
	s, err := status(on)
	switch {
	case err != nil:
		return 0, err
	case s.Session.State != "established":
		return 0, fmt.Errorf("%s: the session is %q", on.Name, s.Session.State)
	case len(s.Paths) < paths:
		return 0, fmt.Errorf("%s: %d paths", on.Name, len(s.Paths))
	}
	for _, p := range s.Paths {
		if p.State != "up" {
			return 0, fmt.Errorf("%s: path %s is %q", on.Name, p.Name, p.State)
		}
	}
	return s.MTU, nil
}

// startPortal starts the daemon of a machine.
func (c BenchConfig) startPortal(s *stage, on *netns.Namespace, config string) error {
	s.server = tunnelFar.Addr()
	if err := on.WriteFile(configFile, []byte(config), 0o600); err != nil {
		return err
	}
	argv := []string{c.Program, "-f", "--config", configFile, lab.Interface}
	if c.Profile {
		role := "local"
		if on == s.far {
			role = "remote"
		}
		argv = append([]string{"env", "NETCOMBINER_CPUPROFILE=" + filepath.Join(c.Dir, role+".pprof")}, argv...)
	}
	return s.start(on, argv...)
}

const configFile = "/run/netcombiner/" + lab.Interface + ".conf"

// configs are the two portals' configurations.
func (s subject) configs() (text struct{ near, far string }) {
	secret := make([]byte, 32)
	rand.Read(secret)
	head := fmt.Sprintf("[Interface]\nKey = %s\nSuite = %s\nRouting = none\n", base64.StdEncoding.EncodeToString(secret), s.suite)
	listen, port := fmt.Sprintf("0.0.0.0:%d", lab.Port), fmt.Sprintf(":%d", lab.Port)
	if s.transport == "ip" {
		listen, port = "0.0.0.0", ""
	}
	text.far = fmt.Sprintf("%sRole = remote\nAddress = %v\n[Listen]\nTransport = %s\nAddress = %s\n", head, tunnelFar, s.transport, listen)
	text.near = fmt.Sprintf("%sRole = local\nAddress = %v\n", head, tunnelNear)
	for i, name := range cables[:s.paths] {
		text.near += fmt.Sprintf("[Path]\nName = %s\nTransport = %s\nBind = %s\nRemote = %v%s\n", name, s.transport, name, cableEnd(i, 2).Addr(), port)
	}
	return text
}

// offered says why the daemon does not take a subject's configuration.
func (c BenchConfig) offered(o subject) error {
	if !o.ours() {
		return nil
	}
	dir, err := os.MkdirTemp("", "netcombiner-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	texts := o.configs()
	for _, text := range []string{texts.near, texts.far} {
		file := filepath.Join(dir, "nc0.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		if out, err := exec.Command(c.Program, "check", file).CombinedOutput(); err != nil {
			_, why, _ := strings.Cut(strings.TrimSpace(string(out)), file)
			return errors.New(strings.ReplaceAll(why, "\n", "; "))
		}
	}
	return nil
}

// wireguardKey makes a pair of keys, base64.
func wireguardKey() (secret, public string, err error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return "", "", err
	}
	return base64.StdEncoding.EncodeToString(key.Bytes()), base64.StdEncoding.EncodeToString(key.PublicKey().Bytes()), nil
}

// status asks a machine's daemon.
func status(on *netns.Namespace) (s *control.Status, err error) {
	err = on.Do(func() error {
		c, err := control.Dial(lab.Interface)
		if err != nil {
			return err
		}
		defer c.Close()
		s, err = c.Status()
		return err
	})
	return s, err
}
