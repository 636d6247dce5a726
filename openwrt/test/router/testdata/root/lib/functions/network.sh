# shellcheck shell=dash
# Stands in for OpenWrt's network.sh. What netifd knows is in $T/netifd, a line
# for each interface that is up: name, device, metric, name server.

network_flush_cache() { :; }
network_get_device() { network_field "$1" "$2" 2; }
network_get_metric() { network_field "$1" "$2" 3; }
network_get_dnsserver() { network_field "$1" "$2" 4; }

network_field() {
	local found
	found=$(awk -v name="$2" -v n="$3" '$1 == name { print $n }' "$T/netifd")
	[ -n "$found" ] && eval "$1=\$found"
}
