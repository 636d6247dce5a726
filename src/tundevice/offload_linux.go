package tundevice

import (
	"fmt"

	"golang.org/x/sys/unix"

	"netcombiner/src/kernels"
	"netcombiner/src/superpacket"
)

const (
	tcpOffloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN // Linux 2.6.27
	udpOffloads = unix.TUN_F_USO4 | unix.TUN_F_USO6                                        // Linux 6.2
)

// offload asks the kernel for super-packets, and finds out which it takes. An
// interface that was there before remembers what its last user asked for.
func (t *TUN) offload(fd int, wanted bool) error {
	ask := func(offloads int) error { return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads) }
	if !wanted || ask(tcpOffloads) != nil {
		if wanted {
			t.log.Warn("the kernel has no super-packets on a TUN", "interface", t.name)
		}
		if err := ask(0); err != nil {
			return fmt.Errorf("interface %s: switching its offloads off: %w", t.name, err)
		}
		return nil
	}
	udp := ask(tcpOffloads|udpOffloads) == nil
	if why := t.probe(false); why != nil {
		t.log.Warn("the kernel refuses super-packets: writing packets one by one", "interface", t.name, "why", why)
		return nil
	}
	t.out.joins = true
	t.out.runs.UDP = udp && !kernels.SpoilsUDP(kernels.Release()) && t.probe(true) == nil
	return nil
}

// probe writes a super-packet that goes nowhere: the interface is down, and
// were it up, the packet's time is over. A kernel looks at the header first:
// Linux 6.6.44 and its like, up to commit 89add40066f9, refuse one whose last
// segment is shorter than the others.
func (t *TUN) probe(udp bool) error {
	t.out.part(0, superpacket.Probe(udp))
	if err := t.write(1); err != unix.EIO { // EIO: down, and else nothing wrong
		return err
	}
	return nil
}
