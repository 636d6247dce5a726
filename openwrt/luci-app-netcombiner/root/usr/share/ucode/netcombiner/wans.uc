// The interfaces of netifd that lead to the Internet.
'use strict';

import { cursor } from 'uci';
import { tunnels } from 'netcombiner.status';

// What gets an interface its way to the Internet, when it comes up.
const CLIENTS = [ 'dhcp', 'dhcpv6', 'pppoe', 'pppoa', 'ppp', '3g', 'qmi', 'mbim', 'ncm', 'directip', 'modemmanager', 'wwan' ];

// leadsOut says that an interface has a default route, or had one that waits (inactive).
function leadsOut(one) {
	const routes = [ ...one.route ?? [], ...one.inactive?.route ?? [] ];

	return length(filter(routes, (route) => route.mask == 0)) > 0;
}

// isWAN says of an interface as netifd has it whether it leads to the Internet, or would.
function isWAN(one, network) {
	const its = network[one.interface] ?? {};

	if (one.l3_device == 'lo' || one.proto == 'netcombiner')
		return false;

	return leadsOut(one) || its.gateway || its.ip6gw || !one.up && one.interface != 'lan' && one.proto in CLIENTS;
}

// metric is what netifd does with an interface, or will once it is up.
function metric(one, network) {
	return one.metric || int(network[one.interface]?.metric) || 0;
}

function addresses(one) {
	return map([ ...one['ipv4-address'] ?? [], ...one['ipv6-address'] ?? [] ], (a) => `${a.address}/${a.mask}`);
}

// wans lists each device once, by the interface that somebody has configured on it: netifd
// makes others (wan_6, wwan_4) by itself, and wan6 often shares wan's.
export function wans(interfaces) {
	const own = tunnels(), devices = {}, all = [];
	const network = cursor().get_all('network') ?? {};

	for (let one in interfaces) {
		const device = one.l3_device ?? one.device ?? network[one.interface]?.device ?? '';

		if (!isWAN(one, network) || own[device])
			continue;

		const before = device == '' ? null : devices[device];

		if (before) {
			push(before.addresses, ...addresses(one));
			before.up ||= one.up;

			if (!before.made)
				continue;

			before.interface = one.interface;
			before.metric = metric(one, network);
			before.made = !!one.dynamic;
			continue;
		}

		const wan = { interface: one.interface, device, up: one.up, metric: metric(one, network), addresses: addresses(one), made: !!one.dynamic };

		devices[device] = wan;
		push(all, wan);
	}

	for (let wan in all)
		delete wan.made;

	return sort(all, (a, b) => a.metric - b.metric);
};
