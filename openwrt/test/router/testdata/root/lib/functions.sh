# shellcheck shell=dash disable=SC2034
# Stands in for OpenWrt's functions.sh: the few words of it that are used, on
# files of /etc/config, whose lines are words of the shell.

config_load() {
	local section known
	for known in $CONFIG_KNOWN; do unset "$known"; done
	CONFIG_KNOWN='' CONFIG_SECTIONS='' config_count=0
	# shellcheck source=/dev/null
	[ ! -e "$T/config/$1" ] || . "$T/config/$1"
}

config() {
	config_count=$((config_count + 1))
	section=${2:-$(printf 'cfg%06x' $config_count)}
	CONFIG_SECTIONS="$CONFIG_SECTIONS $section"
	config_put "CONFIG_${section}_TYPE" "$1"
}

config_put() {
	eval "$1=\$2"
	CONFIG_KNOWN="$CONFIG_KNOWN $1"
}

option() { config_put "CONFIG_${section}_$1" "$2"; }

list() {
	local all count
	eval "all=\$CONFIG_${section}_$1 count=\${CONFIG_${section}_$1_LENGTH:-0}"
	count=$((count + 1))
	config_put "CONFIG_${section}_$1" "$all${all:+ }$2"
	config_put "CONFIG_${section}_$1_ITEM$count" "$2"
	config_put "CONFIG_${section}_$1_LENGTH" "$count"
}

config_get() {
	case $2$3 in
	*[!A-Za-z0-9_]*) ;; # as the real one
	*) eval "$1=\"\${CONFIG_$2_$3:-\$4}\"" ;;
	esac
}

config_get_bool() {
	config_get "$@"
	case $(eval "echo \"\$$1\"") in
	1 | on | true | yes | enabled) eval "$1=1" ;;
	0 | off | false | no | disabled) eval "$1=0" ;;
	*) eval "$1=\$4" ;;
	esac
}

config_foreach() {
	local do=$1 want=$2 each type
	shift 2
	for each in $CONFIG_SECTIONS; do
		config_get type "$each" TYPE
		[ "$type" != "$want" ] || "$do" "$each" "$@"
	done
}

config_list_foreach() {
	local from=$1 name=$2 do=$3 count item at=1
	config_get count "$from" "${name}_LENGTH" 0
	while [ "$at" -le "$count" ]; do
		config_get item "$from" "${name}_ITEM$at"
		"$do" "$item"
		at=$((at + 1))
	done
}

user_exists() { [ -e "$T/user" ]; }
