package setup

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/control"
)

// machine is a host in memory, but for its configurations. Its daemon brings a path up
// at once where passes says so.
type machine struct {
	*Host
	t         *testing.T
	said      bytes.Buffer
	now       time.Time
	sources   []netip.Addr
	addresses []netip.Addr
	ways      []string
	down      []string // links without a carrier
	bare      []string // links without an address
	taken     []string // "udp 4725"
	programs  map[string]string
	ran       []string // commands that are not questions
	asked     []string
	unknown   bool // DNS does not know the VPS
	passes    func(device, transport string) bool

	running           *config.Config
	starts, reloads   int
	failStart, hasNFT bool
}

func newMachine(t *testing.T) *machine {
	m := &machine{
		t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), hasNFT: true,
		sources: addrs("203.0.113.2"), addresses: addrs("203.0.113.2"), ways: []string{"eth1", "wwan0"},
		programs: map[string]string{}, passes: func(string, string) bool { return true },
	}
	m.Host = &Host{
		Dir: t.TempDir(), Out: &m.said, Patience: 5 * time.Second,
		Now:         func() time.Time { return m.now },
		Sources:     func() []netip.Addr { return m.sources },
		Addresses:   func() ([]netip.Addr, error) { return m.addresses, nil },
		AddressesOf: m.addressesOf,
		DeviceOf:    func(netip.Addr) (string, error) { return "eth0", nil },
		WaysOut:     func() ([]string, error) { return slices.Clone(m.ways), nil },
		Link: func(device string) (bool, bool, error) {
			down := slices.Contains(m.down, device)
			return down || slices.Contains(m.ways, device) || slices.Contains(m.bare, device), !down, nil
		},
		Taken: func(transport string, port uint16) bool {
			return slices.Contains(m.taken, fmt.Sprint(transport, " ", port))
		},
		Command: m.command, Service: m, Status: m.status,
	}
	return m
}

func addrs(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

func (m *machine) addressesOf(device string) ([]netip.Addr, error) {
	if slices.Contains(m.bare, device) {
		return nil, nil
	}
	return addrs("10.1.0.2"), nil
}

func (m *machine) command(name string, args ...string) (string, error) {
	line := strings.Join(append([]string{name}, args...), " ")
	if out, ok := m.programs[line]; ok {
		return out, nil
	}
	if name == "nft" && m.hasNFT {
		if args[0] == "insert" {
			m.ran = append(m.ran, line)
		}
		return "", nil
	}
	for known := range m.programs {
		if strings.HasPrefix(known, name+" ") {
			m.ran = append(m.ran, line)
			return "", nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, ErrNoProgram)
}

func (m *machine) Start(iface string) (string, error) {
	if m.failStart {
		return "", fmt.Errorf("the TUN does not open")
	}
	m.starts++
	return "started", m.load(iface)
}

func (m *machine) Reload(iface string) error {
	m.reloads++
	return m.load(iface)
}

func (m *machine) load(iface string) (err error) {
	m.running, err = config.Load(m.path(iface))
	return err
}

func (m *machine) status(iface string) (*control.Status, error) {
	if m.running == nil {
		return nil, control.ErrNotRunning
	}
	s := &control.Status{MTU: 1409}
	for _, p := range m.running.Paths {
		state := "connecting"
		if slices.Contains(m.ways, p.Device) && !slices.Contains(m.down, p.Device) && m.passes(p.Device, p.Transport) {
			state = "up"
		}
		remote := "203.0.113.2:4725"
		if m.unknown {
			remote = p.Remote.String()
		}
		s.Paths = append(s.Paths, control.Path{Name: p.Name, Transport: p.Transport, State: state, Remote: remote, RTTMs: 30, RTTMinMs: 24.4, MTU: 1500})
	}
	return s, nil
}

// spoke returns what was said, and forgets it.
func (m *machine) spoke() string {
	text := m.said.String()
	m.said.Reset()
	return text
}

// says checks that all of it was said, and none of what begins with "!".
func (m *machine) says(want ...string) {
	m.t.Helper()
	text := m.spoke()
	for _, w := range want {
		if absent, not := strings.CutPrefix(w, "!"); not && strings.Contains(text, absent) || !not && !strings.Contains(text, w) {
			m.t.Errorf("want %q in what it said:\n%s", w, text)
		}
	}
}

func (m *machine) file(iface string) string {
	m.t.Helper()
	text, err := os.ReadFile(m.path(iface))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(text)
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.Dir, name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// files are the names in the configurations' folder.
func (m *machine) files() string {
	entries, _ := os.ReadDir(m.Dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}
