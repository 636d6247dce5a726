'use strict';

/* The status, asked anew every two seconds. Whatever comes from elsewhere is put into the page
   as text. */
(function() {
	const every = 2000;
	const looks = { up: 'success', standby: 'info', connecting: 'warning', failed: 'danger', down: 'default', established: 'success', handshake: 'warning' };
	const place = document.getElementById('netcombiner');
	const words = JSON.parse(place.dataset.words);
	let before = {}; // the last answer of each tunnel, by its device

	function element(tag, className, ...children) {
		const made = document.createElement(tag);
		made.className = className;
		made.append(...children);
		return made;
	}

	function scaled(value, units) {
		let i = 0;
		for (; value >= 1000 && i < units.length - 1; i++)
			value /= 1000;
		return value.toFixed(i == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2) + ' ' + units[i];
	}

	const rate = bits => bits === null ? '–' : scaled(bits, [ 'bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s' ]);
	const size = bytes => scaled(bytes, [ 'B', 'kB', 'MB', 'GB', 'TB', 'PB' ]);
	const time = ms => ms > 0 ? ms.toFixed(ms < 10 ? 1 : 0) + ' ms' : '–';
	const percent = (part, digits) => part === null ? '–' : (100 * part).toFixed(digits) + ' %';

	function duration(seconds) {
		const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24, minutes = Math.floor(seconds / 60) % 60;
		if (days > 0)
			return days + ' d ' + hours + ' h';
		return hours > 0 ? hours + ' h ' + minutes + ' min' : minutes + ' min ' + Math.floor(seconds % 60) + ' s';
	}

	/* speed is what a counter has grown by, in bit/s by the daemon's own clock; null where that
	   is not known, as after a restart. */
	function speed(now, then, seconds) {
		return then === undefined || seconds <= 0 || now < then ? null : (now - then) * 8 / seconds;
	}

	/* measured adds to a tunnel and its paths how fast each of them is, and to a path its share:
	   of what moved since the last answer, or else of all that ever did. */
	function measured(tunnel) {
		const then = before[tunnel.interface];
		const seconds = then ? tunnel.uptime_s - then.uptime_s : 0;
		const add = (one, other) => {
			one.in = speed(one.rx.bytes, other && other.rx.bytes, seconds);
			one.out = speed(one.tx.bytes, other && other.tx.bytes, seconds);
		};
		add(tunnel.tunnel, then && then.tunnel);
		for (const path of tunnel.paths)
			add(path, then && then.paths.find(other => other.name === path.name));
		const moved = path => path.in + path.out, ever = path => path.rx.bytes + path.tx.bytes;
		const sum = of => tunnel.paths.reduce((all, path) => all + of(path), 0);
		const of = sum(moved) > 0 ? moved : ever, all = sum(of);
		for (const path of tunnel.paths)
			path.share = all > 0 ? of(path) / all : null;
		return tunnel;
	}

	function label(state) {
		return element('span', 'label label-' + (looks[state] || 'default'), words[state] || state);
	}

	function row(path) {
		const quota = path.quota ? size(path.quota.used_bytes) + ' / ' + size(path.quota.limit_bytes) + ', ' + path.quota.resets : '–';
		const cells = [ path.name, label(path.state), path.transport, (path.local || '–') + ' → ' + (path.remote || '–'), String(path.metric),
			rate(path.in), rate(path.out), time(path.rtt_ms), percent(path.loss, 1), percent(path.share, 0), quota ];
		return element('tr', '', ...cells.map(cell => element('td', '', cell)));
	}

	function table(paths) {
		const head = [ 'path', 'state', 'transport', 'way', 'metric', 'in', 'out', 'rtt', 'loss', 'share', 'quota' ];
		return element('table', 'table table-striped table-hover table-condensed',
			element('thead', '', element('tr', '', ...head.map(word => element('th', '', words[word])))),
			element('tbody', '', ...paths.map(row)));
	}

	function panel(device, names, state, ...body) {
		const title = names[device] ? names[device] + ' (' + device + ') ' : device + ' ';
		return element('div', 'panel panel-default',
			element('div', 'panel-heading', element('h2', 'panel-title', title, label(state))),
			element('div', 'panel-body table-responsive', ...body));
	}

	function running(tunnel, names) {
		const line = [ words.in + ' ' + rate(tunnel.tunnel.in), words.out + ' ' + rate(tunnel.tunnel.out), 'MTU ' + tunnel.mtu,
			tunnel.session.suite, words.for + ' ' + duration(tunnel.uptime_s) ];
		const hints = (tunnel.hints || []).map(hint => element('p', 'text-warning', hint));
		return panel(tunnel.interface, names, tunnel.session.state,
			element('p', '', line.filter(word => word).join(' · ')), ...hints, table(tunnel.paths));
	}

	function show(answer) {
		const panels = answer.tunnels.map(tunnel => running(measured(tunnel), answer.names));
		for (const device of Object.keys(answer.problems))
			panels.push(panel(device, answer.names, 'down', element('p', 'text-danger', answer.problems[device])));
		if (panels.length == 0)
			panels.push(element('div', 'alert alert-info', words.none));
		place.replaceChildren(...panels);
		before = Object.fromEntries(answer.tunnels.map(tunnel => [ tunnel.interface, tunnel ]));
	}

	async function ask() {
		try {
			if (!document.hidden)
				show(await (await fetch('/packages/netcombiner/show.php', { credentials: 'same-origin' })).json());
		} catch {
			place.replaceChildren(element('div', 'alert alert-danger', words.silent));
		}
		setTimeout(ask, every);
	}

	ask();
})();
