'use strict';
'require baseclass';

/* How fast a tunnel and its paths go: differences between two answers of the daemon, by
   its own clock. Only the last so many samples are kept. */

const length = 120;
const lately = 5;
/* Two answers closer than this, in seconds, say little: LuCI asks anew as it starts. */
const soon = 0.5;

function none() {
	return Array(length).fill(null);
}

function rate(now, before, seconds) {
	return (now - before) * 8 / seconds;
}

/* One line of samples in each direction, the latest last; null where nothing is known. */
const History = baseclass.extend({
	__init__() {
		this.in = none();
		this.out = none();
		this.count = null;
	},

	add(count, seconds) {
		const before = this.count;
		this.count = { in: count.rx.bytes, out: count.tx.bytes };
		if (seconds == null)
			return;
		/* Counters that fell began anew: of that step nothing is known. */
		const anew = before == null || this.count.in < before.in || this.count.out < before.out;
		this.in.push(anew ? null : rate(this.count.in, before.in, seconds));
		this.out.push(anew ? null : rate(this.count.out, before.out, seconds));
		this.in.shift();
		this.out.shift();
	},

	now() {
		return { in: this.in[length - 1], out: this.out[length - 1] };
	},

	lately() {
		return [ ...this.in.slice(-lately), ...this.out.slice(-lately) ].reduce((sum, v) => sum + (v || 0), 0);
	},

	most() {
		return Math.max(0, ...this.in, ...this.out);
	}
});

const Meter = baseclass.extend({
	__init__() {
		this.reset();
	},

	reset() {
		this.tunnel = new History();
		this.paths = {};
		this.uptime = null;
	},

	/* read takes the next answer. Each path in it has a history from then on, though the
	   answer may come too soon for a sample. */
	read(status) {
		if (this.uptime != null && status.uptime_s < this.uptime)
			this.reset();
		const known = this.paths;
		this.paths = {};
		for (const path of status.paths)
			this.paths[path.name] = known[path.name] || new History();
		const seconds = this.uptime == null ? null : status.uptime_s - this.uptime;
		if (seconds == null || seconds >= soon)
			this.sample(status, seconds);
	},

	sample(status, seconds) {
		this.uptime = status.uptime_s;
		this.tunnel.add(status.tunnel, seconds);
		for (const path of status.paths)
			this.paths[path.name].add(path, seconds);
		this.carried = status.paths.reduce((sum, path) => sum + path.tx.bytes + path.rx.bytes, 0);
	},

	/* share is a path's part of all bytes: lately, or since the start where nothing moved. */
	share(name) {
		const all = Object.values(this.paths).reduce((sum, path) => sum + path.lately(), 0);
		const path = this.paths[name];
		if (all > 0)
			return path.lately() / all;
		return this.carried > 0 && path.count ? (path.count.in + path.count.out) / this.carried : null;
	},

	/* most is the highest rate of a path that is still to be seen. */
	most() {
		return Math.max(0, ...Object.values(this.paths).map(path => path.most()));
	}
});

return baseclass.extend({
	length,
	create() {
		return new Meter();
	}
});
