#!/bin/sh

# The tunnels of config.xml: control.sh reconfigure makes what runs as it stands there,
# start, stop and restart are for all of them or for the one that is named, and status,
# show and problems ask. configd runs it, as root; remove is for when the plugin goes.
#
# Words:
#   candidate  what the templates have made of config.xml, new/IFACE.conf
#   ours       a configuration beside it that was a candidate once
#
# A candidate takes its place only when the daemon finds nothing wrong with any of them.
# What was wrong is printed, and all stays as it is, after a reboot, too.

etc=${NETCOMBINER_ETC:-/usr/local/etc/netcombiner}
run=${NETCOMBINER_RUN:-/var/run/netcombiner}
settings=${NETCOMBINER_RC_CONF:-/etc/rc.conf.d/netcombiner}
mark='# os-netcombiner writes this file from config.xml.'

fail() {
	echo "$1"
	exit 1
}

# settle_in reads which tunnels there are to be.
settle_in() {
	netcombiner_interfaces=
	netcombiner_carp=
	# shellcheck disable=SC1090 # a template of ours writes it
	[ ! -e "$settings" ] || . "$settings"
}

wanted() {
	case " $netcombiner_interfaces " in
	*" $1 "*) ;;
	*) return 1 ;;
	esac
}

# master says whether this host is to have the tunnel: of a cluster, the one that has
# the address which the tunnel depends on.
master() {
	for depends in $netcombiner_carp; do
		[ "${depends%%=*}" = "$1" ] || continue
		where=${depends#*=}
		ifconfig "${where%,*}" 2>/dev/null | grep -q "carp: MASTER vhid ${where#*,} "
		return
	done
}

runs() {
	netcombiner show "$1" >/dev/null 2>&1
}

is_ours() {
	[ -f "$etc/$1.conf" ] && [ "$(head -n 1 "$etc/$1.conf")" = "$mark" ]
}

ours() {
	for file in "$etc"/nc*.conf; do
		tunnel=$(basename "$file" .conf)
		! is_ours "$tunnel" || echo "$tunnel"
	done
}

# The folder comes first: what a template writes has the permissions of where it writes.
make_candidates() {
	install -d -m 700 "$etc" "$etc/new" || fail "cannot write to $etc: is the disk full?"
	rm -f "$etc"/new/*.conf
	[ "$(configctl template reload OPNsense/Netcombiner)" = OK ] ||
		refuse "the configuration was not written: System, Log Files, Backend says why"
	settle_in
}

check_candidates() {
	set --
	for tunnel in $netcombiner_interfaces; do
		[ ! -e "$etc/$tunnel.conf" ] || is_ours "$tunnel" ||
			fail "$etc/$tunnel.conf is of somebody else: move it away, or choose another device"
		set -- "$@" "$etc/new/$tunnel.conf"
	done
	[ $# -gt 0 ] || return 0
	words=$(netcombiner check "$@" 2>&1 >/dev/null) || refuse "$(echo "$words" | grep -v '^warning: ' | sed "s|$etc/new/||g")"
}

# refuse says what is wrong. What does not run yet, as at boot, starts as it was accepted last.
refuse() {
	for tunnel in $netcombiner_interfaces; do
		if is_ours "$tunnel" && master "$tunnel" && ! runs "$tunnel"; then
			begin "$tunnel"
		fi
	done
	fail "$1"
}

# follow makes one tunnel as its candidate is.
follow() {
	now=$etc/$1.conf
	if ! master "$1"; then
		mv -f "$etc/new/$1.conf" "$now"
		! runs "$1" || stop "$1"
	elif ! runs "$1"; then
		mv -f "$etc/new/$1.conf" "$now"
		begin "$1"
	elif ! cmp -s "$etc/new/$1.conf" "$now"; then
		mv -f "$etc/new/$1.conf" "$now"
		reload "$1" || begin "$1"
	fi
}

# reload fails where the tunnel has to start anew to follow its file.
reload() {
	said=$(netcombiner reload "$1" 2>&1) || return
	case $said in
	*"restart to apply"*) return 1 ;;
	esac
}

# begin starts a tunnel, anew if it is tried in vain or has to; the rest of OPNsense is
# to find the new device, if it is an assigned interface.
begin() {
	if said=$(service netcombiner onerestart "$1" 2>&1); then
		configctl -dq interface newip "$1" force
		configctl -dq interface newipv6 "$1" force
	else
		echo "$said"
		failed=1
	fi
}

reconfigure() {
	for tunnel in $(ours); do
		wanted "$tunnel" || drop "$tunnel"
	done
	failed=
	for tunnel in $netcombiner_interfaces; do
		follow "$tunnel"
	done
	rm -f "$etc"/new/*.conf
	[ -z "$failed" ] || exit 1
}

drop() {
	stop "$1"
	rm -f "$etc/$1.conf"
}

# remove leaves nothing of what was made of config.xml: it holds keys.
remove() {
	for tunnel in $(ours); do
		drop "$tunnel"
	done
	rm -f "$etc"/new/*.conf "$settings"
}

stop() {
	for stopped in ${1:-$(ours)}; do
		service netcombiner onestop "$stopped" >/dev/null 2>&1
	done
}

# status is in the words that ApiMutableServiceControllerBase looks for.
status() {
	for tunnel in $netcombiner_interfaces; do
		if runs "$tunnel"; then
			echo "netcombiner is running"
			return
		fi
	done
	echo "netcombiner is not running"
}

# problems prints of each tunnel that does not run why not, a line each: IFACE: WORDS.
problems() {
	for tunnel in $netcombiner_interfaces; do
		if runs "$tunnel"; then
			continue
		elif ! master "$tunnel"; then
			echo "$tunnel: the other firewall of the cluster has it"
		elif [ -s "$run/$tunnel.problem" ]; then
			echo "$tunnel: $(sed -e "s/^netcombiner: //" -e "s/^$tunnel: //" -e 1q "$run/$tunnel.problem")"
		else
			echo "$tunnel: it is stopped"
		fi
	done
}

case ${2:-nc0} in
nc[0-9] | nc[0-9][0-9] | nc[0-9][0-9][0-9]) ;;
*) fail "not a tunnel of OPNsense: nc0, nc1, …" ;;
esac

settle_in
case $1 in
start | stop | restart | reconfigure | remove)
	# One at a time: events of several WANs come together. Nobody else may hold the lock.
	(umask 077 && : >>"$run.lock")
	[ -n "$NETCOMBINER_ALONE" ] || NETCOMBINER_ALONE=1 exec lockf -k -t 120 "$run.lock" "$0" "$@"
	;;
esac
case $1 in
stop) stop "$2" ;;
remove) remove ;;
start | restart | reconfigure)
	make_candidates
	check_candidates
	[ "$1" != restart ] || stop "$2"
	reconfigure
	echo OK
	;;
status) status ;;
show) [ -z "$netcombiner_interfaces" ] || netcombiner show --json ;;
problems) problems ;;
*) fail "control.sh start|stop|restart [IFACE], reconfigure, status, show, problems, remove" ;;
esac
