# shellcheck shell=dash
# netifd's part for the protocol handler: sh proto.sh setup|renew|init_config
# INTERFACE. Options that netifd passes on are in the environment, as OPTION_NAME.

. "$DATA/record.sh"
. "$DATA/root/lib/functions.sh"
json_get_vars() {
	for word in "$@"; do eval "$word=\$OPTION_$word"; done
}
INCLUDE_ONLY=1
. "$FILES/lib/netifd/proto/netcombiner.sh"

[ -n "$REAL_TUN" ] || await_tun() { record await_tun "$@"; }

"proto_netcombiner_$1" "$2"
if [ "$1" = init_config ]; then
	record "no_device=$no_device available=$available no_proto_task=$no_proto_task" \
		"teardown_on_l3_link_down=$teardown_on_l3_link_down renew_handler=$renew_handler"
fi
