package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"netcombiner/src/control"
	"netcombiner/src/linkwatch"
	"netcombiner/src/service"
	"netcombiner/src/setup"
)

// setupHost wires package setup to the real host. What it says goes to out.
func (a *app) setupHost(out io.Writer) *setup.Host {
	h := &setup.Host{
		Dir: a.configDir, Out: out, Now: time.Now, Patience: 5 * time.Second,
		Sources: sources, Addresses: ownAddresses, AddressesOf: linkwatch.Addrs, DeviceOf: linkwatch.DeviceOf, WaysOut: linkwatch.WaysOut, Link: linkwatch.State,
		Taken: taken, Command: hostCommand, PF: runtime.GOOS == "freebsd", Service: initService{a}, Status: statusOf,
	}
	if isTerminal(a.in) && isTerminal(a.err) {
		h.Ask = a.ask
	}
	return h
}

// ask asks the person at the terminal.
func (a *app) ask(question string) bool {
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	line, _ := bufio.NewReader(io.LimitReader(a.in, 100)).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}

// sources asks the routing table, by sockets that send nothing, which addresses would go
// out to two hosts of the Internet.
func sources() (all []netip.Addr) {
	for _, to := range []string{"1.1.1.1:9", "[2606:4700:4700::1111]:9"} {
		c, err := net.Dial("udp", to)
		if err != nil {
			continue
		}
		if local, err := netip.ParseAddrPort(c.LocalAddr().String()); err == nil {
			all = append(all, local.Addr().Unmap())
		}
		c.Close()
	}
	return all
}

func ownAddresses() (all []netip.Addr, err error) {
	list, err := net.InterfaceAddrs()
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			all = append(all, p.Addr().Unmap())
		}
	}
	return all, err
}

// taken tries to listen as the daemon will.
func taken(transport string, port uint16) bool {
	at := fmt.Sprintf(":%d", port)
	var c io.Closer
	var err error
	if transport == "tcp" {
		c, err = net.Listen("tcp", at)
	} else {
		c, err = net.ListenPacket("udp", at)
	}
	if err != nil {
		return errors.Is(err, syscall.EADDRINUSE)
	}
	c.Close()
	return false
}

// commandPatience is how long a program of the host may take: systemctl waits for the service.
const commandPatience = time.Minute

func hostCommand(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandPatience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		err = fmt.Errorf("%s: %w", name, setup.ErrNoProgram)
	}
	return string(out), err
}

func statusOf(iface string) (*control.Status, error) {
	c, err := control.Dial(iface)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Status()
}

// initService runs tunnels by the host's service manager, and where there is none that we
// know as "netcombiner IFACE" does.
type initService struct{ *app }

func (s initService) Start(iface string) (string, error) {
	managed, err := s.manager(iface)
	if err == nil {
		err = managed.Install()
	}
	if err == nil {
		if err := managed.Start(); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s runs; %s starts it at boot", iface, managed.Manager), nil
	}
	if err := s.spawn(iface); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s runs. Nothing starts it at boot: %v", iface, err), nil
}

func (s initService) Reload(iface string) error {
	if s.reloads(iface) {
		return nil
	}
	if managed, err := s.manager(iface); err == nil && managed.Running() {
		if err := managed.Stop(); err != nil {
			return err
		}
		return managed.Start()
	}
	if c, err := control.Dial(iface); err == nil {
		err = c.Down()
		c.Close()
		if err != nil {
			return err
		}
	}
	return s.spawn(iface)
}

// reloads tries to change the tunnel while it runs. It says whether nothing else is needed.
func (s initService) reloads(iface string) bool {
	c, err := control.Dial(iface)
	if err != nil {
		return false
	}
	defer c.Close()
	notes, err := c.Change("reload", control.Change{})
	return err == nil && !control.NeedsRestart(notes)
}

// manager is the host's, for a tunnel where a service of its has it: a run directory of one's
// own is nothing that it knows.
func (s initService) manager(iface string) (*service.Service, error) {
	if os.Getenv("NETCOMBINER_RUN_DIR") != "" {
		return nil, errors.New("NETCOMBINER_RUN_DIR is set, which no service knows")
	}
	host, err := s.host()
	if err != nil {
		return nil, err
	}
	return host.Find(iface)
}

// spawn runs this program as "netcombiner IFACE". Not in this process: the TUN that it makes
// stays open until that ends.
func (s initService) spawn(iface string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := &exec.Cmd{Path: exe, Args: []string{os.Args[0], iface}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return errors.New(strings.TrimPrefix(strings.TrimPrefix(lastLine(string(out), err), "netcombiner: "), iface+": "))
	}
	return nil
}

// lastLine is what a program said last, or else how it ended.
func lastLine(out string, err error) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return err.Error()
}
