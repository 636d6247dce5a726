# shellcheck shell=dash
# rc.common's part for the init script: sh service.sh ACTION [TUNNEL]. $T is where
# all of it happens, $FILES what the package installs.

. "$DATA/record.sh"
. "$DATA/root/lib/functions.sh"
. "$FILES/etc/init.d/netcombiner"
IPKG_INSTROOT=$T/root
RUN=$T/run ETC=$T/etc STATE=$T/state UJAIL=$T/ujail
KEYS=$T/flash/keys NAMING="$T/config $T/staged"

start() {
	start_service "$@"
	service_triggers
	# What netifd knows by the time that procd has the triggers.
	[ ! -e "$T/netifd.later" ] || mv "$T/netifd.later" "$T/netifd"
	service_started
}
stop() {
	stop_service "$@"
	service_stopped
}
reload() { reload_service "$@"; }

"$@"
