#!/bin/sh

# At boot pfSense asks at the console for other interfaces if an assigned one is not there,
# which a tunnel's cannot be: it starts later. Until then an empty device of its name and
# of our group stands in for it. The daemon knows those as its own, and replaces them.

for file in /usr/local/etc/netcombiner/nc*.conf; do
	[ -f "$file" ] || continue
	tunnel=$(basename "$file" .conf)
	/sbin/ifconfig "$tunnel" >/dev/null 2>&1 ||
		/sbin/ifconfig tun create name "$tunnel" group netcombiner >/dev/null
done
