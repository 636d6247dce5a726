// What the daemon says of a value, or of a tunnel, before it is saved.
'use strict';

import { INIT, PROGRAM, TUNNEL, fits, lines, parsed, reason, refused, reply, run } from 'netcombiner.ask';

const NETWORK = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/;
const OPTION = /^[a-z][a-z0-9_]{0,31}$/;
const SESSION = /^[0-9a-f]{32}$/;

// The longest value and the most options of a section that are checked.
const LONGEST = 4096;
const MOST = 64;

// What UCI calls the sections of the daemon's configuration.
const SECTIONS = { tunnel: 'Interface', path: 'Path', listen: 'Listen', bypass: 'Bypass' };

// Options that the daemon does not know, and what they may be.
const OWN = {
	enabled: [ /^[01]$/, 'neither 0 nor 1' ],
	open_firewall: [ /^[01]$/, 'neither 0 nor 1' ],
	tunnel: [ TUNNEL, "not the name of a tunnel; allowed: up to 15 letters, digits and '_'" ],
	interface: [ NETWORK, 'not an interface of the network configuration' ],
	// The daemon would say whether a file is there, to people who may not know.
	key_file: [ /^\/[A-Za-z0-9_.\/-]{1,255}$/, 'not the name of a file; allowed: a whole one, of plain letters, as in /etc/netcombiner/nc0.key' ]
};

// What UCI writes for yes and no, where the daemon has these words.
const FLAG = { '0': 'no', '1': 'yes' };

// line is an option as it stands in the daemon's configuration, or null.
function line(option, value) {
	if (type(value) == 'array')
		value = join(', ', value);

	if (option == 'authenticate_addresses')
		value = FLAG[value] ?? value;

	if (!fits(option, OPTION) || OWN[option] || type(value) != 'string')
		return null;

	// A line break would begin another line, and # ends this one.
	if (value == '' || length(value) > LONGEST || match(value, /[\x01-\x1f\x7f#]/))
		return null;

	return `${replace(option, /_/g, '')} = ${value}`;
}

// configuration is one section, with the option that is asked about on the last line.
function configuration(section, option, value, others) {
	const text = [];

	if (section != 'tunnel')
		push(text, '[Interface]', section == 'listen' ? 'Role = remote' : 'Role = local');

	push(text, `[${SECTIONS[section]}]`);

	for (let other, its in others) {
		if (length(text) > MOST)
			break;

		// All that is not portal is netifd's and the firewall's here; see the init script.
		if (other == 'routing' && its != 'portal')
			its = 'none';

		if (other != option && line(other, its))
			push(text, line(other, its));
	}

	push(text, line(option, value));

	return text;
}

// checkValue tells whether the daemon takes a value of an option, beside others. Where
// nobody can tell, the answer has no ok: a router short of memory keeps nobody from saving.
export function checkValue(request, args) {
	const section = args.section, key = args.key, value = args.value;

	if (!SECTIONS[section] || !fits(key, OPTION) || type(value) != 'string')
		return refused('say which section, key and value');

	if (OWN[key])
		return fits(value, OWN[key][0]) ? { ok: true, message: '' } : refused(OWN[key][1]);

	if (!line(key, value))
		return refused(value == '' ? 'no value' : `longer than ${LONGEST} characters, or with a line break or # in it`);

	const text = configuration(section, key, value, args.with);

	return run(PROGRAM, [ 'check', '--json', '-' ], join('\n', text) + '\n', (done) => {
		const found = parsed(done.stdout);
		const bad = filter(found?.problems ?? [], (problem) => problem.line == length(text))[0];

		if (!found)
			reply(request, { error: reason(done) });
		else if (bad)
			reply(request, refused(bad.message + (bad.allowed ? `; allowed: ${bad.allowed}` : '')));
		else
			reply(request, { ok: true, message: '' });
	});
};

// STAGED has the init script check a tunnel ($2) as a session ($1) has staged it. A check that
// takes too long is killed, and the next one tidies up after it.
const STAGED = `umask 077
mkdir -p /var/run/netcombiner-check && cd /var/run/netcombiner-check || exit
for old in *; do
	kill -0 "$old" 2>/dev/null || rm -rf "$old"
done
trap 'rm -rf "$$"' EXIT
if ! mkdir -p "$$" || ! uci -q -P "/var/run/rpcd/uci-$1" export netcombiner >"$$/netcombiner" || [ ! -s "$$/netcombiner" ]; then
	echo 'no room for a temporary file in /var/run' >&2
	exit 1
fi
UCI_CONFIG_DIR=$PWD/$$ ${INIT} check "$2"`;

export function checkTunnel(request, args) {
	const session = args.ubus_rpc_session ?? '';

	if (!fits(args.tunnel, TUNNEL) || session != '' && !fits(session, SESSION))
		return refused('not the name of a tunnel');

	return run('/bin/sh', [ '-c', STAGED, 'sh', session, args.tunnel ], null, (done) => {
		const problems = lines(done.stdout);

		if (done.code == 0)
			reply(request, { ok: true, message: '', problems: [] });
		else if (length(problems))
			reply(request, { ...refused(join('; ', problems)), problems });
		else
			reply(request, { error: reason(done) });
	});
};
