'use strict';
'require baseclass';
'require netcombiner.meter as meter';
'require netcombiner.words as words';

/* global meter, words */

/* A graph that moves: what comes in is an area, what goes out a line, so that they are told
   apart without colours, too. It is drawn in samples by thousandths of its height and
   stretched to the width that there is. */

const height = 1000;

function svg(tag, attributes, children) {
	const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
	for (const name in attributes)
		node.setAttribute(name, attributes[name]);
	for (const child of children || [])
		node.appendChild(child);
	return node;
}

/* The points of a line, from the first sample that is known. */
function points(values, top) {
	const first = values.findIndex(value => value != null);
	return first < 0 ? [] : values.slice(first).map((value, i) =>
		'%d,%d'.format(first + i, height - Math.round(height * (value || 0) / top)));
}

/* The same as an area: down to the ground at both ends. */
function area(line) {
	return line.length ? [ '%d,%d'.format(parseInt(line[0]), height), ...line, '%d,%d'.format(meter.length - 1, height) ] : [];
}

const Graph = baseclass.extend({
	__init__(name) {
		const last = meter.length - 1;
		const grid = [ 0, height / 2 ].map(y => svg('line', { class: 'nc-grid', x1: 0, x2: last, y1: y, y2: y }));
		this.name = name;
		this.in = svg('polygon', { class: 'nc-in', points: '' });
		this.out = svg('polyline', { class: 'nc-out', points: '' });
		this.scale = E('span', { 'class': 'nc-scale', 'aria-hidden': 'true' });
		this.svg = svg('svg', {
			viewBox: '0 0 %d %d'.format(last, height),
			preserveAspectRatio: 'none',
			role: 'img'
		}, [ ...grid, this.in, this.out ]);
		this.node = E('div', { 'class': 'nc-graph' }, [ this.svg, this.scale ]);
	},

	/* draw shows a history on a scale that ends at top, in bit/s. */
	draw(history, top) {
		const now = history.now();
		this.in.setAttribute('points', area(points(history.in, top)).join(' '));
		this.out.setAttribute('points', points(history.out, top).join(' '));
		this.scale.textContent = words.rate(top).replace(/\.0+ /, ' ');
		this.svg.setAttribute('aria-label', _('%s over the last minutes: now %s in, %s out; at most %s').format(
			this.name, words.rate(now.in), words.rate(now.out), words.rate(history.most())));
	}
});

return baseclass.extend({
	create(name) {
		return new Graph(name);
	},

	/* top is a round number at or above the most that is to be drawn: 1, 2 or 5 of a
	   power of ten, and never below 100 kbit/s, so that an idle line looks idle. */
	top(most) {
		const power = Math.pow(10, Math.floor(Math.log10(Math.max(most, 1e5))));
		return [ 1, 2, 5, 10 ].map(step => step * power).find(top => top >= Math.max(most, 1e5));
	}
});
