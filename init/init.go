// Package initfiles holds the files in this directory, by which service
// managers run tunnels. The packages install them as they are; "netcombiner
// service install" does so on hosts without a package.
package initfiles

import _ "embed"

// Where these files take netcombiner to be.
const (
	Program        = "/usr/sbin/netcombiner"
	ProgramFreeBSD = "/usr/local/sbin/netcombiner"
)

var (
	//go:embed netcombiner@.service
	Systemd string

	//go:embed netcombiner.openrc
	OpenRC string

	// Logrotate shortens the logs that OpenRC writes. The others have the host's.
	//
	//go:embed netcombiner.logrotate
	Logrotate string

	//go:embed netcombiner.sysv
	SysV string

	//go:embed netcombiner.freebsd
	FreeBSD string
)
