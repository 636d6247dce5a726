// How the plugin has others do its work, without holding up rpcd, which has one thread.
'use strict';

import { connect } from 'ubus';
import { mkstemp, stat } from 'fs';

// How long a page waits at most, in seconds: less than LuCI and rpcd do, so that they get
// an answer in words.
const PATIENCE = 15;

export const PROGRAM = '/usr/sbin/netcombiner';
export const INIT = '/etc/init.d/netcombiner';

export const TUNNEL = /^[A-Za-z0-9_]{1,15}$/;

export function refused(message) {
	return { ok: false, message };
};

// fits says that the whole of text is as the pattern has it: for ucode, ^ and $ alone are
// the ends of a line.
export function fits(text, pattern) {
	return type(text) == 'string' && match(text, pattern)?.[0] === text;
};

// reply answers a page, unless it has gone.
export function reply(request, answer) {
	try {
		request.reply(answer);
	}
	catch (e) {
	}
};

function failure(code, what) {
	switch (code) {
	case UBUS_STATUS_TIMEOUT:
		return `no answer within ${PATIENCE} s`;

	case UBUS_STATUS_NOT_FOUND:
		return `${what} is not there`;

	default:
		return `${what}: ubus status ${code}`;
	}
}

let bus;

// ask calls another ubus object without holding up rpcd, which has one thread: then gets
// its answer, or what went wrong. It returns what a method returns so that rpcd waits.
export function ask(object, method, args, then) {
	let told = false;

	const tell = (code, answer) => {
		if (!told)
			then(code == UBUS_STATUS_OK ? answer ?? {} : null, failure(code, args.command ?? object));

		told = true;
	};

	bus ??= connect(null, PATIENCE);

	const asked = bus?.defer(object, method, args, tell);

	if (!asked) {
		bus = null; // the next one tries anew
		tell(UBUS_STATUS_NOT_FOUND);
	}

	return asked;
};

// place is where an open file is found by us, and by a child that has inherited it.
function place(file) {
	return `/proc/self/fd/${file.fileno()}`;
}

// nameless makes a file without a name that holds text, or null where there is no room.
function nameless(text) {
	const file = mkstemp('/var/run/netcombiner-luci.XXXXXX');

	file?.write(text);
	file?.flush(); // what it returns differs between versions

	if (file && stat(place(file))?.size === length(text))
		return file;

	file?.close();

	return null;
}

// How many programs run at once, so that pages cannot fill a small router's memory, and
// how many more wait for their turn.
const ABREAST = 3;
const WAITING = 50;

let running = 0;
let queue = [], latest;

// start has rpcd's own file.exec run a program: without a shell, at most 256 KB of output,
// killed after half a minute.
function start(command, params, file, then) {
	running++;

	latest = ask('file', 'exec', { command, params }, (answer, failure) => {
		running--;
		file?.close();
		shift(queue)?.();
		then({ code: answer?.code ?? -1, stdout: answer?.stdout ?? '', stderr: answer ? answer.stderr ?? '' : failure });
	});

	return latest;
}

// run starts a program of fixed name and hands its exit status, output and errors to then;
// where it cannot, the status is -1, and the errors say why.
// Input lies in a file without a name, which rpcd's child has inherited.
export function run(command, params, input, then) {
	let file;

	if (length(queue) == WAITING)
		return then({ code: -1, stdout: '', stderr: 'too much at once: try again' });

	if (input != null) {
		file = nameless(input);

		if (!file)
			return then({ code: -1, stdout: '', stderr: 'no room for a temporary file in /var/run' });

		params = [ '-c', 'input=$1; shift; exec "$@" <"$input"', 'sh', place(file), command, ...params ];
		command = '/bin/sh';
	}

	if (running < ABREAST)
		return start(command, params, file, then);

	push(queue, () => start(command, params, file, then));

	return latest; // for rpcd, anything that is under way will do
};

// parsed is what a program printed as JSON, or null.
export function parsed(text) {
	try {
		return json(text);
	}
	catch (e) {
		return null;
	}
};

export function lines(text) {
	return filter(map(split(text ?? '', '\n'), (line) => trim(line)), (line) => line != '');
};

// reason is what a program says of its failure, in one line without its name.
export function reason(done) {
	const said = lines(done.stderr)[0] ?? lines(done.stdout)[0] ?? `exit status ${done.code}`;

	return replace(said, /^netcombiner: (init local: )?/, '');
};

export function outcome(done) {
	return done.code == 0 ? { ok: true, message: '' } : refused(reason(done));
};
