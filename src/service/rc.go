package service

import (
	"fmt"
	"strings"

	initfiles "netcombiner/init"
)

// freeBSD finds what runs services of FreeBSD, or of a system made of it that has a
// page for tunnels: there nothing is to be done beside that.
func (h Host) freeBSD(iface string) (*Service, error) {
	switch {
	case h.has("/usr/local/opnsense"):
		return nil, fmt.Errorf("%w: on OPNsense the plugin os-netcombiner runs what its page says: VPN, netcombiner", errUnknown)
	case h.has("/usr/local/share/pfSense"):
		return nil, fmt.Errorf("%w: on pfSense the package pfSense-pkg-netcombiner runs what its page says: VPN, netcombiner", errUnknown)
	case h.has("/etc/rc.subr") && h.has("/usr/sbin/sysrc"):
		return h.rc(iface), nil
	}
	return nil, fmt.Errorf("%w: let what does run \"netcombiner -f %s\"", errUnknown, iface)
}

// rc has no file that shows which tunnels start: sysrc(8) knows, and a list in
// rc.conf. What shortens the log is there where a package is.
func (h Host) rc(iface string) *Service {
	const (
		listed = `case $(sysrc -qn netcombiner_enable) in "" | [Nn][Oo]) exit 1 ;; esac
case " $(sysrc -qn netcombiner_interfaces) " in *" $0 "*) ;; *) exit 1 ;; esac`
		shared = `for other in $(sysrc -qn netcombiner_interfaces); do [ "$other" = "$0" ] || exit 0; done; exit 1`
	)
	return &Service{
		Manager: "rc(8)", host: h, Interface: iface,
		file: "/usr/local/etc/rc.d/netcombiner", mode: 0o755,
		text:    strings.ReplaceAll(initfiles.FreeBSD, initfiles.ProgramFreeBSD, initfiles.Program),
		vendor:  []string{"/usr/local/etc/newsyslog.conf.d/netcombiner.conf.sample"},
		listed:  command{"/bin/sh", "-c", listed, iface},
		shared:  command{"/bin/sh", "-c", shared, iface},
		enable:  command{"sysrc", "netcombiner_enable=YES", "netcombiner_interfaces+=" + iface},
		disable: command{"sysrc", "netcombiner_interfaces-=" + iface},
		forget:  command{"sysrc", "-x", "netcombiner_enable", "netcombiner_interfaces"},
		start:   command{"service", "netcombiner", "start", iface},
		stop:    command{"service", "netcombiner", "stop", iface},
		probe:   command{"service", "netcombiner", "status", iface},
	}
}
