# shellcheck shell=dash
# Words of procd.sh, netifd-proto.sh and jshn.sh, and sync, that only tell, in $T/calls, a line
# each, how they were called.

record() {
	local line=''
	for word in "$@"; do line="$line${line:+ }$word"; done
	echo "$line" >>"$T/calls"
}

for word in procd_lock procd_open_instance procd_close_instance procd_set_param procd_add_jail procd_add_jail_mount \
	procd_add_jail_mount_rw procd_open_data procd_close_data procd_set_config_changed procd_kill procd_add_reload_trigger procd_add_raw_trigger \
	json_add_array json_close_array json_add_object json_close_object json_add_string json_add_int \
	proto_config_add_string proto_init_update proto_add_ipv4_address proto_add_ipv6_address proto_add_ipv4_route \
	proto_add_ipv6_route proto_send_update proto_add_host_dependency proto_notify_error uci_load_validate ubus logger sync; do
	eval "$word() { record $word \"\$@\"; }"
done
procd_add_interface_trigger() { record procd_add_interface_trigger "$@" "after=$PROCD_RELOAD_DELAY"; }
procd_add_validation() { "$@"; }
extra_command() { :; }
chown() { echo "$*" >>"$T/owners"; }
id() { cat "$T/uid"; }

# What netifd knows to answer, and what logger reads.
ubus() {
	record ubus "$@"
	[ "$*" != "call network get_proto_handlers" ] || cat "$T/handlers"
}
logger() {
	[ $# = 4 ] || echo "$*" >>"$T/log"
	[ $# != 4 ] || while read -r line; do echo "$* $line" >>"$T/log"; done
}
