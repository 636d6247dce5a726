// What runs, what is configured, and why the one is not the other.
'use strict';

import { cursor } from 'uci';
import { access, readfile } from 'fs';
import { PROGRAM, lines, parsed, reply, run } from 'netcombiner.ask';

// Where the init script leaves what it has to say; root's alone.
const LEFT = '/var/etc/netcombiner';

// How old a status may be that answers further pages, in ms: each of them asks every 2 s.
const FRESH = 1500;

// The longest text of the init script's that is read, in bytes.
const LONGEST = 4096;

// tunnels are the named sections of the configuration, as it is applied.
export function tunnels() {
	const all = {};

	cursor().foreach('netcombiner', 'tunnel', (section) => {
		if (!section['.anonymous'])
			all[section['.name']] = section;
	});

	return all;
};

// left is what the init script has left about a tunnel, one line each.
function left(name) {
	return lines(readfile(`${LEFT}/${name}.problem`, LONGEST));
}

// idle says why nothing is shown of a tunnel. problem is what the init script says of it.
function idle(name, section, problem, shown) {
	const off = cursor().get('netcombiner', 'globals', 'enabled') == '0' || section.enabled == '0';
	const said = match(shown.stderr, regexp(`(^| )${name}: ([^;\n]+)`));

	if (off)
		return { error: 'disabled', disabled: true };

	if (said)
		return { error: said[2] };

	if (shown.code < 0) // netcombiner show itself did not run
		return { error: shown.stderr };

	if (access(`${LEFT}/${name}.stopped`))
		return { error: 'stopped: it runs again once it is started' };

	if (length(problem))
		return { error: problem[0] };

	if (!section.key && !section.key_file)
		return { error: 'no key: generate one, or paste the token of the VPS' };

	return { error: 'it does not run: start it, and see the log if it stops again' };
}

// status brings together what runs, what is configured, and what is wrong with that.
function status(shown) {
	const answer = { tunnels: {}, problems: {} };

	for (let one in parsed(shown.stdout) ?? [])
		answer.tunnels[one.interface] = one;

	for (let name, section in tunnels()) {
		const problem = left(name);

		if (length(problem))
			answer.problems[name] = problem;

		answer.tunnels[name] ??= idle(name, section, problem, shown);
	}

	return answer;
}

// Pages that ask for the status while somebody else does, or just has, share the answer.
let shown = { until: 0 };
let asking, waiting = [];

function now() {
	const t = clock(true);

	return t[0] * 1000 + t[1] / 1000000;
}

// forget has the next page ask anew, after a change.
export function forget() {
	shown.until = 0;
};

export function showAll(request) {
	if (now() < shown.until)
		return status(shown);

	push(waiting, request);

	asking ??= run(PROGRAM, [ 'show', '--json' ], null, (done) => {
		const all = waiting, answer = status(done);

		shown = { ...done, until: now() + FRESH };
		asking = null;
		waiting = [];

		for (let one in all)
			reply(one, answer);
	});

	return asking;
};
