package tundevice

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// system is what a TUN is made of here. The kernel hands packets over one by
// one: there is nothing to offload.
type system struct{ dev tun.Device }

func (s system) file() *os.File { return s.dev.File() }
func (s system) close() error   { return s.dev.Close() }

func create(name string, o Options) (*TUN, error) {
	dev, err := tun.CreateTUN(name, o.MTU)
	if err != nil {
		return nil, explainCreate(name, err)
	}
	return adopt(dev)
}

func fromFile(f *os.File, o Options) (*TUN, error) {
	dev, err := tun.CreateTUNFromFile(f, o.MTU)
	if err != nil {
		return nil, err
	}
	return adopt(dev)
}

func adopt(dev tun.Device) (*TUN, error) {
	name, err := dev.Name()
	if err != nil {
		dev.Close()
		return nil, err
	}
	// The library's listener stands still when nobody takes its events.
	go func() {
		for range dev.Events() {
		}
	}()
	return &TUN{system: system{dev}, name: name}, nil
}

// BatchSize is how many buffers a Read may fill at most.
func (t *TUN) BatchSize() int { return t.dev.BatchSize() }

// Read implements Device.
func (t *TUN) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for {
		n, err := t.dev.Read(bufs, sizes, offset)
		if err != nil {
			return 0, t.finalError(err)
		}
		if n > 0 && offset+sizes[0] <= len(bufs[0]) {
			return n, nil
		}
		t.unread.Add(1) // cut off at the end of its buffer
	}
}

// Write implements Device. The library puts the 4 bytes of the address family
// before each packet.
func (t *TUN) Write(bufs [][]byte, offset int) (n int, err error) {
	for i := range bufs {
		if _, err := t.dev.Write(bufs[i:i+1], offset); err == nil {
			n++
		} else if gone(err) || errors.Is(err, os.ErrClosed) {
			return n, t.finalError(err)
		}
	}
	return n, nil
}

func setMTU(name string, mtu int) error { return ifconfig(name, "mtu", strconv.Itoa(mtu)) }

func addAddress(name string, prefix netip.Prefix) error {
	return ifconfig(name, family(prefix), prefix.String(), "alias")
}

func removeAddress(name string, prefix netip.Prefix) error {
	return ifconfig(name, family(prefix), prefix.Addr().String(), "-alias")
}

func family(prefix netip.Prefix) string {
	if prefix.Addr().Is6() {
		return "inet6"
	}
	return "inet"
}

func setUp(name string, up bool) error {
	if up {
		return ifconfig(name, "up")
	}
	return ifconfig(name, "down")
}

// quiet has nothing to do: nobody asks for routers here but rtsol(8).
func quiet(string) (undo func() error) { return func() error { return nil } }

func ifconfig(name string, args ...string) error {
	out, err := exec.Command("/sbin/ifconfig", append([]string{name}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ifconfig %s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func gone(err error) bool {
	return errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EBADF)
}

func explainCreate(name string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("/dev/tun is not there: load the module (kldload if_tuntap): %w", err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("no privilege to create interface %s: run as root: %w", name, err)
	}
	return fmt.Errorf("creating interface %s: %w", name, err)
}
