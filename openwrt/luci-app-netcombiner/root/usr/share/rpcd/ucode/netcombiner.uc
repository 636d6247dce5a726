// The ubus object "netcombiner", which the LuCI pages ask. It knows nothing of tunnels by
// itself: netcombiner(8), the init script, netifd and the log do.
//
// Whatever a method is called with may come from a stranger's browser: names must fit
// their pattern before they become an argument, all else goes to standard input.
'use strict';

import { INIT, PROGRAM, TUNNEL, ask, fits, lines, outcome, parsed, reason, refused, reply, run } from 'netcombiner.ask';
import { checkTunnel, checkValue } from 'netcombiner.check';
import { forget, showAll, tunnels } from 'netcombiner.status';
import { wans } from 'netcombiner.wans';

const PATH = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$/;
const KEY = /^[A-Za-z0-9+\/]{43}=$/;
const ACTIONS = [ 'start', 'stop', 'restart', 'reload' ];

// The longest text that is taken for a token: more is for the daemon to refuse.
const LONGEST = 4096;

// LAST prints what bears our tag, or is procd's of our instances: logread's own -l would
// count the lines of others, too.
const LAST = `logread -e 'netcombiner[:[]' | tail -n "$1"`;

// keep has the init script put a key into a file of its own, and hands over the file's name,
// or what went wrong.
function keep(tunnel, key, then) {
	return run(INIT, [ 'key', tunnel ], key, (done) =>
		then(done.code == 0 ? trim(done.stdout) : null, reason(done)));
}

const methods = {
	// {tunnels: {nc0: as doc/show.schema.json has it, or {error, disabled?}}, problems: {nc0: [line, …]}}
	status: {
		call: showAll
	},

	// {ok, message}, or {error} where nobody can tell. With section, key, value and with, the
	// other options of the section, about that value; with tunnel alone about all of it as
	// the session has staged it, and also {problems: [line, …]}.
	check: {
		args: { tunnel: '', section: '', key: '', value: '', with: {} },
		call: function(request) {
			const args = request.args;

			return args.section == null && args.tunnel != null ? checkTunnel(request, args) : checkValue(request, args);
		}
	},

	// {wans: [{interface, device, up, metric, addresses}]}, the lowest metric first
	wans: {
		call: function(request) {
			return ask('network.interface', 'dump', {}, (answer, failure) =>
				reply(request, answer ? { wans: wans(answer.interface) } : { wans: [], error: failure }));
		}
	},

	// {lines: [line, …]}, the oldest first
	log: {
		args: { lines: 0 },
		call: function(request) {
			const most = min(max(request.args.lines ?? 200, 1), 1000);

			return run('/bin/sh', [ '-c', LAST, 'sh', `${most}` ], null, (done) =>
				reply(request, done.stderr == '' ? { lines: lines(done.stdout) } : { lines: [], error: reason(done) }));
		}
	},

	// {ok, key}, or {ok, message}
	genkey: {
		call: function(request) {
			return run(PROGRAM, [ 'genkey' ], null, (done) =>
				reply(request, done.code == 0 ? { ok: true, key: trim(done.stdout) } : refused(reason(done))));
		}
	},

	// {ok, key_file}, or {ok, message}. The tunnel has the key once it has that file.
	key: {
		args: { tunnel: '', key: '' },
		call: function(request) {
			const tunnel = request.args.tunnel, key = request.args.key;

			if (!fits(tunnel, TUNNEL) || !fits(key, KEY))
				return refused('say whose key; allowed: 32 bytes in base64, as generated');

			return keep(tunnel, key, (file, failure) =>
				reply(request, file ? { ok: true, key_file: file } : refused(failure)));
		}
	},

	// {ok, message, tunnel: {key_file, suite, routing, address}, paths: [{transport, remote}],
	// expires}, the best path first. The token's key is kept, and not told.
	token: {
		args: { tunnel: '', token: '' },
		call: function(request) {
			const tunnel = request.args.tunnel, text = request.args.token;

			if (!fits(tunnel, TUNNEL))
				return refused("not the name of a tunnel; allowed: up to 15 letters, digits and '_'");

			if (type(text) != 'string' || text == '')
				return refused('no token: paste what netcombiner init remote prints on the VPS');

			return run(PROGRAM, [ 'init', 'local', '-', '--json' ], substr(text, 0, LONGEST), (done) => {
				const said = done.code == 0 ? parsed(done.stdout) : null;

				if (!said)
					return reply(request, refused(reason(done)));

				keep(tunnel, said.key, (file, failure) => reply(request, !file ? refused(failure) : {
					ok: true, message: trim(done.stderr), paths: said.paths, expires: said.expires,
					tunnel: { key_file: file, suite: said.suite, routing: said.routing, address: said.address }
				}));
			});
		}
	},

	// {ok, message}
	action: {
		args: { tunnel: '', action: '' },
		call: function(request) {
			const tunnel = request.args.tunnel, action = request.args.action;

			if (!fits(tunnel, TUNNEL) || !tunnels()[tunnel])
				return refused('there is no such tunnel');

			if (!(action in ACTIONS))
				return refused(`not an action; allowed: ${join(', ', ACTIONS)}`);

			return run(INIT, [ action, tunnel ], null, (done) => {
				forget();
				reply(request, outcome(done));
			});
		}
	},

	// {ok, message}; it lasts until the tunnel stops
	path: {
		args: { tunnel: '', name: '', up: true },
		call: function(request) {
			const tunnel = request.args.tunnel, name = request.args.name, up = request.args.up;

			if (!fits(tunnel, TUNNEL) || !fits(name, PATH) || type(up) != 'bool')
				return refused('say which tunnel and path, and whether it is to be up');

			return run(PROGRAM, [ 'set', tunnel, 'path', name, up ? 'up' : 'down' ], null, (done) => {
				forget();
				reply(request, outcome(done));
			});
		}
	}
};

return { netcombiner: methods };
