# shellcheck shell=dash
# Keys that are not in UCI, which whoever may look at LuCI's pages may read, but in
# files that root alone may, in $KEYS. UCI has their names.

# keep_key TUNNEL prints the file that has the key on standard input. Each gets one of
# its own, so that the tunnel has the old one until UCI names the new, and when that is
# reverted.
keep_key() {
	local text file
	text=$(head -c 4096)
	case $1:$text in
	:* | *: | *[!A-Za-z0-9_]*:*)
		echo "say whose key, and have it on standard input: netcombiner genkey | service netcombiner key nc0" >&2
		return 1
		;;
	esac
	forget_keys
	if file=$(make_key_file "$1" 2>/dev/null) && write_key "$text" "$file" 2>/dev/null; then
		echo "$file"
		return
	fi
	[ -z "$file" ] || rm -f "$file"
	echo "cannot write to $KEYS; is the flash full?" >&2
	return 1
}

make_key_file() { mkdir -p "$KEYS" && mktemp "$KEYS/$1.XXXXXX"; }

# write_key has it on disk before UCI can name it.
write_key() { echo "$1" >"$2" && sync && [ "$(cat "$2")" = "$1" ]; }

# forget_keys removes those that nothing names: of reverted changes, and of tunnels
# that are no more.
forget_keys() {
	local file
	for file in "$KEYS"/*; do
		# shellcheck disable=SC2086 # a place each
		[ ! -f "$file" ] || grep -rqsF "$file" $NAMING || rm -f "$file"
	done
}
