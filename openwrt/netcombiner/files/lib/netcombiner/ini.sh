# shellcheck shell=dash
# Makes a tunnel's INI, as netcombiner.conf(5) has it, of its UCI sections. Who
# sources this has functions.sh and network.sh, and has called config_load. The
# INIs of which tunnels run are in $ETC.

ini_routing='' ini_check_only=''

# ini_make TUNNEL sets
#   ini_text    the INI
#   ini_faults  what is wrong with its sections, one line each
#   ini_notes   what the tunnel can run with, but not as is meant
#   ini_waits   the WANs that have had no device yet: their paths are left out
ini_make() {
	ini_tunnel=$1 ini_text='' ini_faults='' ini_notes='' ini_waits='' ini_ways=0 ini_metrics=''
	config_get ini_routing "$1" routing none

	ini_name
	ini_interface "$1"
	config_foreach ini_path path
	config_foreach ini_listen listen
	config_foreach ini_bypass bypass
}

ini_fault() {
	ini_faults="${ini_faults:+$ini_faults
}$1"
}

ini_note() {
	ini_notes="${ini_notes:+$ini_notes
}$1"
}

ini_add() {
	ini_text="$ini_text$1
"
}

# The section's name is the interface's.
ini_name() {
	case $ini_tunnel in
	cfg[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f])
		ini_fault "the tunnel has no name: config tunnel 'nc0'"
		;;
	????????????????*)
		ini_fault "'$ini_tunnel' is too long for an interface's name: at most 15 letters"
		;;
	esac
}

# ini_line KEY VALUE [COMMENT], unless VALUE would not stay within its line.
ini_line() {
	case $2 in
	'') ;;
	*'#'* | *[[:cntrl:]]*) ini_fault "$1: a # or a control character in it; allowed: printed characters" ;;
	*) ini_add "$1 = $2${3:+ # $3}" ;;
	esac
}

# ini_options SECTION KEY:OPTION… takes options as they are.
ini_options() {
	local section=$1 value
	shift
	while [ -n "$1" ]; do
		config_get value "$section" "${1#*:}"
		ini_line "${1%:*}" "$value"
		shift
	done
}

# ini_lists does so for lists, which UCI keeps with blanks between.
ini_lists() {
	local section=$1 value item all
	shift
	while [ -n "$1" ]; do
		config_get value "$section" "${1#*:}"
		all=
		set -f # a * is no file of the router's
		for item in $value; do
			item=${item%,}
			all="$all${all:+, }$item"
		done
		set +f
		ini_line "${1%:*}" "$all"
		shift
	done
}

ini_interface() {
	ini_add "[Interface]"
	ini_options "$1" Role:role
	ini_key "$1"
	ini_lists "$1" Address:address
	ini_options "$1" MTU:mtu Suite:suite Scheduler:scheduler
	ini_routing
	ini_yes_no "$1" AuthenticateAddresses:authenticate_addresses
	ini_options "$1" Offload:offload MemoryLimit:memory_limit Metrics:metrics Log:log Fallback:fallback
	ini_lists "$1" PublicAddress:public_address KeepPorts:keep_ports
	ini_client "$1"
}

# A key in a file goes into the INI: the daemon is not root, and cannot read it.
ini_key() {
	local file
	config_get file "$1" key_file
	ini_options "$1" Key:key
	if [ -f "$file" ] && [ -r "$file" ]; then
		ini_line Key "$(head -c 4096 "$file")"
	else
		ini_line KeyFile "$file"
	fi
}

# netifd and the firewall do what other hosts leave to Routing = nat. What of
# the INI needs Routing must not fail with words that lead the wrong way.
ini_routing() {
	local value
	case $ini_routing in
	none | nat) ini_line Routing none "$ini_routing, by netifd" ;;
	*) ini_line Routing "$ini_routing" ;;
	esac
	[ "$ini_routing" != portal ] || return 0
	config_get value "$ini_tunnel" fallback
	if [ "$value" = direct ]; then
		ini_fault "fallback 'direct' needs routing 'portal'; with 'nat', mwan3 can watch $ini_tunnel and do this"
	fi
}

# ini_yes_no SECTION KEY:OPTION takes UCI's words for yes and no.
ini_yes_no() {
	local value
	config_get value "$1" "${2#*:}"
	case $value in
	1 | on | true | enabled) value=yes ;;
	0 | off | false | disabled) value=no ;;
	esac
	ini_line "${2%:*}" "$value"
}

# The client's network may be named as netifd names it, "lan".
ini_client() {
	local name device=''
	config_get name "$1" client_interface
	ini_is_name "$name" && network_get_device device "$name" || device=$name
	ini_line ClientInterface "$device"
}

# ini_ours SECTION says whether a section is the tunnel's, and in use.
ini_ours() {
	local tunnel enabled
	config_get tunnel "$1" tunnel
	config_get_bool enabled "$1" enabled 1
	[ "$tunnel" = "$ini_tunnel" ] && [ "$enabled" = 1 ]
}

ini_path() {
	local wan bind name device=''
	ini_ours "$1" || return 0
	config_get wan "$1" interface
	config_get bind "$1" bind
	config_get name "$1" name "$wan"
	ini_way "${name:-$1}" || return 0
	if [ -n "$wan" ] && ! ini_device device "$wan"; then
		ini_waits="$ini_waits $wan"
		return 0
	fi
	[ "$ini_routing" != nat ] || [ -z "$wan" ] || ini_metric "$device" "$wan"
	ini_ways=$((ini_ways + 1))
	ini_add "
[Path]"
	ini_line Name "$name"
	ini_options "$1" Transport:transport Protocol:protocol
	ini_line Bind "${device:-$bind}" "${wan:+interface $wan}" # for ini_last_device
	ini_options "$1" Remote:remote Congestion:congestion Rate:rate Metric:metric Direction:direction \
		Quota:quota QuotaReset:quota_reset
}

# ini_way holds a path to one way out. Once the default route leads into the
# tunnel, what is bound to no interface would go there, too.
ini_way() {
	if [ -n "$wan" ] && [ -n "$bind" ]; then
		ini_fault "path $1: interface and bind; allowed: one of the two"
		return 1
	fi
	case $ini_routing:$wan:$bind in
	nat:: | nat::*.*.*.* | nat::*:*)
		ini_fault "path $1: it would go into the tunnel itself; allowed: an interface as netifd names it (wan), or a device to bind to (eth1)"
		return 1
		;;
	esac
}

# ini_metric DEVICE WAN: of two default routes of one metric netifd has one, and
# that of metric 0 goes before the tunnel's.
ini_metric() {
	local metric other
	network_get_metric metric "$2" || return 0
	if [ "$metric" = 0 ]; then
		ini_note "interface $2 has no metric, and goes before the tunnel: give it one of its own (Network, Interfaces, $2, Advanced Settings)"
	fi
	for other in $ini_metrics; do
		case $other in
		"$metric:$1:"*) ;;
		"$metric:"*) ini_note "interface $2 has the metric of ${other##*:}, $metric, so that one of them has no route: give it one of its own" ;;
		esac
	done
	ini_metrics="$ini_metrics $metric:$1:$2"
}

# ini_device VARIABLE WAN finds the device that a WAN has, or else had last: it
# is most likely to come back there, and then nothing is to be changed. Where only
# the rest is to be checked, any will do.
ini_device() {
	ini_is_name "$2" || return
	network_get_device "$1" "$2" || ini_last_device "$1" "$2" || ini_any_device "$1"
}

# ini_is_name says whether netifd can have an interface of this name.
ini_is_name() {
	case $1 in
	'' | *[!A-Za-z0-9_-]*) return 1 ;;
	esac
}

ini_any_device() { [ -n "$ini_check_only" ] && eval "$1=any"; }

ini_last_device() {
	local found
	found=$(sed -n "s/^Bind = \(.*\) # interface $2\$/\1/p" "$ETC"/*.conf 2>/dev/null | head -n 1)
	[ -n "$found" ] && eval "$1=\$found"
}

ini_listen() {
	local address open
	ini_ours "$1" || return 0
	config_get address "$1" address
	config_get_bool open "$1" open_firewall 0
	ini_add "
[Listen]"
	ini_options "$1" Transport:transport Protocol:protocol
	[ "$open" = 1 ] || open=
	ini_line Address "$address" "${open:+open}" # for open_ports
	ini_lists "$1" Allow:allow
}

ini_bypass() {
	local wan device=''
	ini_ours "$1" || return 0
	if [ "$ini_routing" != portal ]; then
		ini_fault "bypass: needs routing 'portal'; with '$ini_routing', pbr or a config rule in /etc/config/network does this"
		return 0
	fi
	config_get wan "$1" interface
	if [ -n "$wan" ] && ! ini_device device "$wan"; then
		ini_waits="$ini_waits $wan"
		return 0
	fi
	ini_add "
[Bypass]"
	ini_lists "$1" To:to From:from
	ini_options "$1" Set:set Mark:mark
	ini_line Via "$device"
	ini_options "$1" Via:via IfDown:if_down
}

# ini_check FILE… prints what is wrong with the INI, by itself or beside those of
# other tunnels, in the daemon's words. What nobody could judge is not taken for good.
ini_check() {
	local said
	said=$(printf %s "$ini_text" | netcombiner check --json "$@" -) && return
	said=$(printf '%s\n' "$said" | jsonfilter -e '@.problems[*].text')
	echo "${said:-netcombiner check did not run; is the memory full?}"
}
