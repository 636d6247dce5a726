# fish completion for netcombiner(8)

function __netcombiner_running
    set -l run /var/run/netcombiner
    set -q NETCOMBINER_RUN_DIR; and set run $NETCOMBINER_RUN_DIR
    for f in $run/*.sock
        basename $f .sock
    end
end

function __netcombiner_configured
    for f in /etc/netcombiner/*.conf /usr/local/etc/netcombiner/*.conf
        basename $f .conf
    end
end

set -l commands down init show set add remove reload check selftest genkey service version help
set -l first "not __fish_seen_subcommand_from $commands"

complete -c netcombiner -f
complete -c netcombiner -n $first -a '(__netcombiner_configured)' -d tunnel
complete -c netcombiner -n $first -s f -d 'stay in the foreground'
complete -c netcombiner -n $first -l config -r -F -d 'read another file'
complete -c netcombiner -l help -d 'print help'

complete -c netcombiner -n $first -a down -d 'stop a tunnel'
complete -c netcombiner -n $first -a init -d 'set a host up'
complete -c netcombiner -n $first -a set -d 'change a tunnel that runs'
complete -c netcombiner -n $first -a add -d 'add a path to a tunnel that runs'
complete -c netcombiner -n $first -a remove -d 'remove a path from a tunnel that runs'
complete -c netcombiner -n $first -a reload -d 'apply the changed file to a tunnel that runs'
complete -c netcombiner -n $first -a show -d 'show the state of one tunnel, or of all'
complete -c netcombiner -n $first -a check -d 'tell everything that is wrong in configurations'
complete -c netcombiner -n $first -a selftest -d 'tell whether a tunnel would work on this host, and what is missing'
complete -c netcombiner -n $first -a genkey -d 'print a new key'
complete -c netcombiner -n $first -a service -d 'let the host start a tunnel at boot'
complete -c netcombiner -n $first -a version -d 'print the version'
complete -c netcombiner -n $first -a help -d 'print a summary, or more about a command'

complete -c netcombiner -n '__fish_seen_subcommand_from down show reload set add remove' -a '(__netcombiner_running)' -d tunnel
complete -c netcombiner -n '__fish_seen_subcommand_from show' -l json -d 'for programs'
complete -c netcombiner -n '__fish_seen_subcommand_from show' -l metrics -d 'for Prometheus'
complete -c netcombiner -n '__fish_seen_subcommand_from show' -l watch -d 'again every second'
complete -c netcombiner -n '__fish_seen_subcommand_from check' -F -a '(__netcombiner_configured)'
complete -c netcombiner -n '__fish_seen_subcommand_from check' -l all -d 'every file'
complete -c netcombiner -n '__fish_seen_subcommand_from check' -l json -d 'for programs'
complete -c netcombiner -n '__fish_seen_subcommand_from selftest' -a '(__netcombiner_configured)' -d tunnel
complete -c netcombiner -n '__fish_seen_subcommand_from selftest' -l json -d 'for programs'
complete -c netcombiner -n '__fish_seen_subcommand_from service' -a 'install uninstall start stop status (__netcombiner_configured)'
complete -c netcombiner -n '__fish_seen_subcommand_from help' -a "$commands"

set -l live metric rate congestion direction quota quotareset bind remote
complete -c netcombiner -n '__fish_seen_subcommand_from set' -a "path scheduler fallback up down $live"
complete -c netcombiner -n '__fish_seen_subcommand_from add' -a "path bypass via ifdown transport protocol $live"
complete -c netcombiner -n '__fish_seen_subcommand_from remove' -a 'path bypass'

complete -c netcombiner -n '__fish_seen_subcommand_from init' -a 'remote local'
for option in yes force no-tcp qr json
    complete -c netcombiner -n '__fish_seen_subcommand_from init' -l $option
end
for option in address port tcp-port routing suite expires wan name client
    complete -c netcombiner -n '__fish_seen_subcommand_from init' -l $option -r
end
