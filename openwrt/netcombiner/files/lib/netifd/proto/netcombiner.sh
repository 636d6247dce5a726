#!/bin/sh
# A tunnel as netifd's interface: zones, metrics, routes, DNS, mwan3 and pbr work
# with it as with any other. The tunnel itself is procd's; see
# /etc/init.d/netcombiner. So this starts nothing, and keeps nothing running.

[ -n "$INCLUDE_ONLY" ] || {
	# shellcheck source=/dev/null
	. /lib/functions.sh
	# shellcheck source=/dev/null
	. ../netifd-proto.sh
	init_proto "$@"
}

# Paths are not among the options: netifd would restart the interface with each.
# shellcheck disable=SC2034 # netifd-proto.sh reads them
proto_netcombiner_init_config() {
	no_device=1
	available=1
	no_proto_task=1
	# Once the daemon is gone, and with it the TUN, wait for the next.
	teardown_on_l3_link_down=1
	renew_handler=1
	proto_config_add_string tunnel
}

proto_netcombiner_setup() {
	local tunnel metric
	json_get_vars tunnel metric
	await_tun "${tunnel:-$1}"
	announce "$1" "${tunnel:-$1}" "$metric"
}

# The init script asks for this when routing is another.
proto_netcombiner_renew() {
	local tunnel metric
	json_get_vars tunnel metric
	announce "$1" "${tunnel:-$1}" "$metric"
}

# The TUN stays: the daemon goes on, and keeps its paths, until procd stops it.
proto_netcombiner_teardown() { :; }

# await_tun waits until the interface is there, and up. netifd ends this when the
# interface is to go down.
await_tun() {
	local flags
	until read -r flags 2>/dev/null <"/sys/class/net/$1/flags" && [ $((flags & 1)) = 1 ]; do
		sleep 1
	done
}

# announce INTERFACE TUNNEL METRIC tells netifd of the TUN, whose addresses are the
# daemon's doing.
announce() {
	config_load netcombiner
	proto_init_update "$2" 1 1
	config_list_foreach "$2" address add_address
	add_default_routes "$2" "$3"
	proto_send_update "$1"
}

add_address() {
	local address=${1%,}
	case $address in
	*:*/*) proto_add_ipv6_address "${address%/*}" "${address#*/}" ;;
	*/*) proto_add_ipv4_address "${address%/*}" "${address#*/}" ;;
	*:*) proto_add_ipv6_address "$address" 128 ;;
	*) proto_add_ipv4_address "$address" 32 ;;
	esac
}

# add_default_routes makes the way behind the tunnel known, of each IP version
# that it has an address of. Which paths lead to the VPS is none of netifd's
# business: each is bound to its WAN, and none may be pinned by a host route.
# Without a metric, IPv4's route would take the place of a WAN's that has none,
# and IPv6's come last.
add_default_routes() {
	local role routing addresses
	config_get role "$1" role
	config_get routing "$1" routing none
	config_get addresses "$1" address
	[ "$role:$routing" = local:nat ] || return 0
	case $addresses in
	*.*) proto_add_ipv4_route 0.0.0.0 0 "" "" "${2:-1}" ;;
	esac
	case $addresses in
	*:*) proto_add_ipv6_route :: 0 "" "${2:-1}" ;;
	esac
}

[ -n "$INCLUDE_ONLY" ] || add_protocol netcombiner
