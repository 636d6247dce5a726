# bash completion for netcombiner(8)                       -*- shell-script -*-

# The tunnels that run, those that are configured, and the paths of one.
_netcombiner_running() {
	local run=${NETCOMBINER_RUN_DIR:-/var/run/netcombiner} f
	for f in "$run"/*.sock; do
		[[ -e $f ]] && f=${f##*/} && echo "${f%.sock}"
	done
}

_netcombiner_configured() {
	local f
	for f in /etc/netcombiner/*.conf /usr/local/etc/netcombiner/*.conf; do
		[[ -e $f ]] && f=${f##*/} && echo "${f%.conf}"
	done
}

# Further in than these names are those of the totals, also of paths that are no more.
_netcombiner_paths() {
	netcombiner show "$1" --json 2>/dev/null | sed -n 's/^ \{6\}"name": "\(.*\)",$/\1/p'
}

# _netcombiner_change COMMAND WORD…: what comes after these words of set, add
# or remove.
_netcombiner_change() {
	local command=$1 live='metric rate congestion direction quota quotareset bind remote'
	shift
	case $#:${2-} in
	0:) _netcombiner_running ;;
	1:) if [[ $command == set ]]; then echo path scheduler fallback; else echo path bypass; fi ;;
	2:path) [[ $command == add ]] || _netcombiner_paths "$1" ;;
	*:path)
		[[ $command == remove ]] && return
		if (($# % 2)); then # a key
			echo "$live"
			[[ $command == add ]] && echo transport protocol
			[[ $command == set && $# == 3 ]] && echo up down
		else
			_netcombiner_value "${!#}"
		fi
		;;
	3:bypass) [[ $command == add ]] && echo via ;;
	4:bypass) [[ $command == add ]] && _netcombiner_paths "$1" ;;
	5:bypass) [[ $command == add ]] && echo ifdown ;;
	6:bypass) [[ $command == add ]] && echo tunnel block ;;
	2:[fF]allback) [[ $command == set ]] && echo direct none ;;
	2:[sS]cheduler) [[ $command == set ]] && _netcombiner_value scheduler ;;
	esac
}

_netcombiner_value() {
	case ${1,,} in
	congestion) echo bbr newreno none default ;;
	direction) echo both send receive default ;;
	scheduler) echo earliest greedy proportional redundant default ;;
	transport) echo udp tcp ip ;;
	bind) command ls /sys/class/net 2>/dev/null || ifconfig -l ;;
	metric | rate | quota | quotareset) echo default ;;
	esac
}

_netcombiner() {
	local commands='down init show set add remove reload check selftest genkey service version help'
	local cur=${COMP_WORDS[COMP_CWORD]} word command='' choice='' i
	local -a arguments=()
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		--config) ((i++)) ;;
		-?*) ;;
		*) if [[ -z $command ]]; then command=$word; else arguments+=("$word"); fi ;;
		esac
	done
	if [[ ${COMP_WORDS[COMP_CWORD - 1]} == --config ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames 2>/dev/null
		return
	fi
	case $command in
	'')
		choice="$commands $(_netcombiner_configured)"
		[[ $cur == -* ]] && choice='-f --config --version --help'
		;;
	down | reload) ((${#arguments[@]})) || choice=$(_netcombiner_running) ;;
	init)
		((${#arguments[@]})) || choice='remote local'
		[[ ${COMP_WORDS[COMP_CWORD - 1]} == @(--wan|--client) ]] && choice=$(_netcombiner_value bind)
		if [[ $cur == -* ]]; then
			choice='--yes --force --wan --name --client --json'
			[[ ${arguments[0]-} == remote ]] && choice='--yes --force --address --port --tcp-port --no-tcp --routing --suite --expires --qr'
		fi
		;;
	show)
		((${#arguments[@]})) || choice=$(_netcombiner_running)
		[[ $cur == -* ]] && choice='--json --metrics --watch'
		;;
	set | add | remove) choice=$(_netcombiner_change "$command" "${arguments[@]}") ;;
	check)
		choice=$(_netcombiner_configured)
		[[ $cur == -* ]] && choice='--all --json'
		if [[ $cur == */* || $cur == .* ]]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			compopt -o filenames 2>/dev/null
			return
		fi
		;;
	selftest)
		((${#arguments[@]})) || choice=$(_netcombiner_configured)
		[[ $cur == -* ]] && choice='--json'
		;;
	service)
		case ${#arguments[@]} in
		0) choice='install uninstall start stop status' ;;
		1) choice=$(_netcombiner_configured) ;;
		esac
		;;
	help) ((${#arguments[@]})) || choice=$commands ;;
	genkey | version) ;;
	*) [[ $cur == -* ]] && choice='-f --config' ;;
	esac
	[[ $cur == -* && -n $command ]] && choice+=' --help'
	mapfile -t COMPREPLY < <(compgen -W "$choice" -- "$cur")
}

complete -F _netcombiner netcombiner
