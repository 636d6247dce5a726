import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { end, open, poll, start, stop, texts } from './browser.mjs';
import { Router, frames, remote } from './router.mjs';

before(start);
after(stop);

const paths = page => page.$$eval('[data-path]', nodes => nodes.map(node => node.dataset.path));
const points = (page, selector) => page.$eval(selector, node => node.getAttribute('points').split(' ').filter(Boolean).map(p => p.split(',').map(Number)));
const clone = value => structuredClone(value);

// What a person would work out of two answers.
const rate = (i, name, way) => {
	const at = n => frames[n].paths.find(p => p.name == name)[way].bytes;
	return 8 * (at(i) - at(i - 1)) / (frames[i].uptime_s - frames[i - 1].uptime_s);
};

test('each path shows its state, rates, RTT, loss, share and quota as the daemon has them', async () => {
	const { page } = await open('netcombiner.status');
	assert.deepEqual(await paths(page), [ 'dsl', 'lte', 'starlink', 'fibre' ]);
	for (let i = 1; i < frames.length; i++)
		await poll(page);
	const last = frames.length - 1;
	assert.deepEqual(await texts(page, '.nc-card .nc-badge'), [ 'Up', 'Standby', 'Standby', 'Connecting' ]);
	assert.equal(await page.textContent('[data-path=dsl] .nc-rates .nc-in'), 'In %s Mbit/s'.replace('%s', (rate(last, 'dsl', 'rx') / 1e6).toFixed(1)));
	assert.equal(await page.textContent('[data-path=dsl] .nc-rates .nc-out'), 'Out %s Mbit/s'.replace('%s', (rate(last, 'dsl', 'tx') / 1e6).toFixed(2)));
	assert.match(await page.textContent('[data-path=dsl] .nc-facts'), /RTT25 ms, lowest [\d.]+ msLoss0\.0 %Byudp, metric 0/);
	assert.match(await page.textContent('[data-path=starlink] .nc-facts'), /metric 10/);
	assert.equal(await page.textContent('[data-path=lte] .nc-quota'), 'Quota30.7 MB of 30.0 MB used, anew on 2026-12-15');
	assert.equal(await page.$eval('[data-path=lte] .nc-bar div', bar => bar.style.width), '100%');
	assert.ok(await page.isHidden('[data-path=dsl] .nc-quota'));

	const lately = name => { let sum = 0; for (let i = last - 4; i <= last; i++) sum += rate(i, name, 'rx') + rate(i, name, 'tx'); return sum; };
	const all = [ 'dsl', 'lte', 'starlink', 'fibre' ].reduce((sum, name) => sum + lately(name), 0);
	assert.equal(await page.textContent('[data-path=dsl] .nc-share'), '%s % of traffic'.replace('%s', (100 * lately('dsl') / all).toFixed(0)));

	assert.equal(await page.textContent('.nc-tunnel > .nc-head .nc-badge'), 'Connected');
	assert.match(await page.textContent('.nc-summary'), /^local end · aes128gcm · running for 27 s$/);
	assert.match(await page.textContent('.nc-tunnel .alert-message'), /quota of lte is used up/);
	assert.match(await page.textContent('.nc-tables'), /2026-11, in the tunnel59\.2 MB29\.4 MB/);
	assert.match(await page.textContent('.nc-tables'), /Nothing was rejected/);
	await end(page);
});

test('the graphs move, on one scale for all paths', async () => {
	const { page } = await open('netcombiner.status');
	assert.deepEqual(await points(page, '[data-path=dsl] polygon.nc-in'), []);
	await poll(page);
	await poll(page);
	const two = await points(page, '[data-path=dsl] polyline.nc-out');
	assert.deepEqual(two.map(p => p[0]), [ 118, 119 ]);
	await poll(page);
	const three = await points(page, '[data-path=dsl] polyline.nc-out');
	assert.deepEqual(three.map(p => p[0]), [ 117, 118, 119 ]);
	assert.deepEqual(three.slice(0, 2).map(p => p[1]), two.map(p => p[1]));

	const scales = new Set(await texts(page, '.nc-card .nc-scale'));
	assert.deepEqual([ ...scales ], [ '20 Mbit/s' ]);
	const [ , y ] = (await points(page, '[data-path=dsl] polygon.nc-in')).at(-2);
	assert.equal(y, 1000 - Math.round(1000 * rate(3, 'dsl', 'rx') / 20e6));
	assert.equal(await page.getAttribute('[data-path=dsl] svg', 'aria-label'), 'dsl over the last minutes: now %1 Mbit/s in, %2 Mbit/s out; at most %3 Mbit/s'
		.replace('%1', (rate(3, 'dsl', 'rx') / 1e6).toFixed(1)).replace('%2', (rate(3, 'dsl', 'tx') / 1e6).toFixed(2))
		.replace('%3', (Math.max(...[ 1, 2, 3 ].map(i => rate(i, 'dsl', 'rx'))) / 1e6).toFixed(1)));
	await end(page);
});

test('paths that come and go do so on the page, and nothing is left of them', async () => {
	const router = new Router();
	const now = clone(frames[5]);
	router.status = { nc0: now };
	const { page } = await open('netcombiner.status', { router });
	const kept = await page.evaluateHandle(() => document.querySelector('[data-path=dsl]'));
	now.paths = [ now.paths[0], { ...clone(now.paths[2]), name: 'fibre2' }, now.paths[3] ];
	now.uptime_s += 2;
	await poll(page);
	assert.deepEqual(await paths(page), [ 'dsl', 'fibre2', 'fibre' ]);
	assert.ok(await kept.evaluate(node => node.isConnected), 'a path that stays keeps its card');

	const size = () => page.evaluate(() => [ document.querySelectorAll('*').length, luci.poll.queue.length ]);
	const first = await size();
	for (let i = 0; i < 130; i++) {
		now.uptime_s += 2;
		now.paths[0].rx.bytes += 1000000;
		now.paths.reverse();
		await poll(page);
	}
	assert.deepEqual(await size(), first);
	assert.equal((await points(page, '[data-path=dsl] polyline.nc-out')).length, 120);

	router.status = {};
	await poll(page);
	assert.deepEqual(await paths(page), []);
	assert.ok(await page.isVisible('text=There is no tunnel yet.'));
	await end(page);
});

test('a path that is new has its place at once, though the answer before was a moment ago', async () => {
	const router = new Router();
	const now = clone(frames[5]);
	router.status = { nc0: now };
	for (const name of [ 'netcombiner.status', 'status.include.90_netcombiner' ]) {
		const { page } = await open(name, { router });
		const ask = name.endsWith('status') ? poll : overview;
		const rates = () => page.$$eval(':is([data-path=dsl], [data-path=wwan]) .nc-rates strong, :is(.tr:nth-child(3), .tr:nth-child(7)) > td[data-title]:nth-child(-n + 4)', all => all.map(node => node.textContent));
		await ask(page);
		now.uptime_s += 0.2;
		now.paths[4] = { ...clone(now.paths[0]), name: 'wwan', rx: { packets: 9, bytes: 5e6 } };
		await ask(page);
		assert.deepEqual(await rates(), [ '–', '–', '–', '–' ], name);
		for (let i = 0; i < 2; i++) {
			now.uptime_s += 2;
			now.paths[4].rx.bytes += 1e6;
			await ask(page);
		}
		assert.deepEqual(await rates(), [ '0 bit/s', '0 bit/s', '4.00 Mbit/s', '0 bit/s' ], name);
		await end(page);
		now.paths.pop();
	}
});

test('counters that begin anew make no spike', async () => {
	const router = new Router();
	const now = clone(frames[5]);
	router.status = { nc0: now };
	const { page } = await open('netcombiner.status', { router });
	now.uptime_s += 2;
	now.paths[0].rx.bytes = 5;
	await poll(page);
	assert.equal(await page.textContent('[data-path=dsl] .nc-rates .nc-in'), 'In –');
	now.uptime_s = 1; // the daemon itself
	await poll(page);
	assert.deepEqual(await texts(page, '.nc-card .nc-rates .nc-in strong'), [ '–', '–', '–', '–' ]);
	await end(page);
});

test('the other end tells what it rejected, and a path that failed', async () => {
	const router = new Router();
	router.status = { nc1: remote };
	const { page } = await open('netcombiner.status', { router });
	assert.match(await page.textContent('.nc-tables'), /Repeated4seen before.*Not ours5not of our format/);
	assert.equal(await page.textContent('[data-path=fibre] .nc-badge'), 'Failed');
	assert.ok(await page.isHidden('[data-path=fibre] button'), 'paths are the local end\'s to switch');
	await end(page);
});

test('a tunnel that does not run says why, and can be started', async () => {
	const router = new Router();
	router.status = { nc0: { error: 'nc0 is not running' }, nc1: { error: 'disabled', disabled: true } };
	router.problems = { nc0: [ 'no key: make one, or paste a token' ] };
	const { page } = await open('netcombiner.status', { router });
	assert.deepEqual(await texts(page, '.nc-head .nc-badge'), [ 'Not running', 'Disabled' ]);
	assert.deepEqual(await texts(page, '[data-tunnel=nc0] .alert-message'), [ 'nc0 is not running', 'no key: make one, or paste a token' ]);
	await page.click('[data-tunnel=nc0] button:text-is("Start")');
	assert.deepEqual(router.calls.at(-1), [ 'netcombiner', 'action', { tunnel: 'nc0', action: 'start' } ]);
	await end(page);
});

test('a path is switched off and on, and what fails is told', async () => {
	const router = new Router();
	const now = clone(frames[5]);
	router.status = { nc0: now };
	const { page } = await open('netcombiner.status', { router });
	await page.click('[data-path=lte] button');
	assert.deepEqual(router.calls.at(-1), [ 'netcombiner', 'path', { tunnel: 'nc0', name: 'lte', up: false } ]);
	now.paths[1].state = 'down';
	await poll(page);
	assert.equal(await page.textContent('[data-path=lte] button'), 'Use again');
	assert.equal(await page.textContent('[data-path=lte] .nc-badge'), 'Off');
	router.refuse = 'nc0 is not running';
	await page.click('[data-path=lte] button');
	assert.deepEqual(router.calls.at(-1)[2], { tunnel: 'nc0', name: 'lte', up: true });
	assert.match(await page.textContent('.alert-message.danger'), /nc0 is not running/);
	await end(page);
});

test('each button says by itself what it is for', async () => {
	const router = new Router();
	router.status = { nc0: frames[5], nc1: { error: 'stopped' } };
	const { page } = await open('netcombiner.status', { router });
	const names = await page.$$eval('button', all => all.filter(node => node.checkVisibility()).map(node => node.getAttribute('aria-label') || node.textContent));
	assert.deepEqual(names, [ 'nc0: Restart', 'nc0: Stop', 'dsl: Stop using', 'lte: Stop using', 'starlink: Stop using', 'fibre: Stop using', 'nc1: Start' ]);
	await end(page);
});

test('a router that does not answer for a while is asked again', async () => {
	const { page, router } = await open('netcombiner.status');
	const answers = router.netcombiner_status;
	router.netcombiner_status = () => Promise.reject(new Error('connection lost'));
	await poll(page);
	assert.equal(await page.textContent('[data-path=dsl] .nc-badge'), 'Up');
	router.netcombiner_status = answers;
	for (let i = 0; i < frames.length; i++)
		await poll(page);
	assert.equal(await page.textContent('[data-path=lte] .nc-badge'), 'Standby');
	await end(page);
});

test('who may only look has no button to press', async () => {
	const { page } = await open('netcombiner.status', { before: () => { window.permission = false; } });
	assert.deepEqual(await page.$$eval('button', all => all.filter(button => !button.disabled).length), 0);
	await end(page);
});

test('what is not seen does not poll', async () => {
	for (const name of [ 'status', 'paths', 'log' ]) {
		const { page, router } = await open('netcombiner.' + name);
		const hide = hidden => page.evaluate(hidden => Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }), hidden);
		const asked = router.calls.length;
		await hide(true);
		await poll(page);
		assert.equal(router.calls.length, asked, name);
		await hide(false);
		await poll(page);
		assert.equal(router.calls.length, asked + 1, name);
		await end(page);
	}
});

test('names and messages from elsewhere stay text', async () => {
	const evil = '<img src=x onerror="console.error(1)"><b>bold</b>';
	const router = new Router();
	const now = clone(remote);
	now.paths[0].name = now.totals[0].paths[0].name = evil;
	now.hints = [ evil ];
	router.status = { nc0: now, nc1: { error: evil } };
	router.problems = { nc0: [ evil ] };
	router.lines = [ evil ];
	router.wans[0].device = evil;
	router.config.netcombiner.cfg01.name = evil;
	for (const name of [ 'netcombiner.status', 'netcombiner.log', 'netcombiner.paths', 'status.include.90_netcombiner' ]) {
		const { page } = await open(name, { router });
		if (name.endsWith('90_netcombiner'))
			await overview(page);
		assert.ok((await page.textContent('#view')).includes(evil), name);
		assert.equal(await page.$$eval('#view b, #view img', all => all.length), 0, name);
		await end(page);
	}
});

const overview = page => page.evaluate(async () => {
	const widget = await load('view.status.include.90_netcombiner');
	document.getElementById('view').replaceChildren((await widget.render(await widget.load())) ?? '');
});

test('the overview has a line for the tunnel and one for each path', async () => {
	const { page, router } = await open('status.include.90_netcombiner');
	await overview(page);
	await overview(page);
	const rows = await page.$$eval('tr', rows => rows.map(row => [ ...row.children ].map(cell => cell.textContent)));
	assert.equal(rows.length, 6);
	assert.deepEqual(rows[1].slice(0, 2), [ 'nc0', 'Connected' ]);
	assert.deepEqual(rows[2], [ 'dsl', 'Up', (rate(1, 'dsl', 'rx') / 1e6).toFixed(1) + ' Mbit/s', (rate(1, 'dsl', 'tx') / 1e6).toFixed(2) + ' Mbit/s', rows[2][4] ]);
	assert.match(rows[2][4], /^\d+ %$/);
	router.status = {};
	await overview(page);
	assert.equal(await page.textContent('#view'), '');
	await end(page);
});

test('the log shows what there is, shorter, and follows its end', async () => {
	const router = new Router();
	const { page } = await open('netcombiner.log', { router });
	assert.deepEqual(await texts(page, '.nc-log span'), [
		'Mon Nov 23 14:25:27 2026  nc0: msg=running interface=nc0 version=1.0.0\n',
		'Mon Nov 23 14:25:27 2026  nc0: msg="path up" path=dsl remote=10.10.0.1:4725 after=13ms\n',
		'Mon Nov 23 14:25:47 2026  Warning  nc0: msg="path failed" path=fibre remote=10.10.0.1:4725 up_for=19.6s why="no answer for 754ms"\n'
	]);
	assert.deepEqual(await page.$$eval('.nc-log span', all => all.map(line => line.className)), [ '', '', 'nc-warning' ]);
	for (let i = 0; i < 100; i++)
		router.lines.push('line ' + i);
	await poll(page);
	const distance = () => page.$eval('.nc-log', log => log.scrollHeight - log.scrollTop - log.clientHeight);
	assert.ok(await distance() < 2);
	await page.$eval('.nc-log', log => { log.scrollTop = 0; });
	router.lines.push('one more');
	await poll(page);
	assert.ok(await distance() > 100, 'who reads further up stays there');
	router.lines = [];
	await poll(page);
	assert.ok(await page.isVisible('text=The log has nothing of netcombiner yet.'));
	await end(page);
});

test('the log says in words what is a warning and what is an error, whoever wrote it', async () => {
	const router = new Router();
	router.lines = [
		'Mon Nov 23 14:25:27 2026 daemon.info netcombiner[4242]: {"level":"INFO","msg":"path up"}',
		'Mon Nov 23 14:25:27 2026 daemon.err netcombiner[4242]: {"level":"WARN","msg":"path failed","why":"level=ERROR"}',
		'Mon Nov 23 14:25:27 2026 daemon.err netcombiner[4242]: {"level":"ERROR","msg":"ended"}',
		'Mon Nov 23 14:25:27 2026 daemon.err netcombiner[4242]: nc0: level=WARN msg="path failed"',
		'Mon Nov 23 14:25:27 2026 daemon.err netcombiner[4242]: nc0: level=ERROR msg=ended',
		'Mon Nov 23 14:25:27 2026 daemon.err netcombiner[4242]: netcombiner: no key',
		'Mon Nov 23 14:25:27 2026 daemon.warn netcombiner: nc0: no WAN yet',
		'Mon Nov 23 14:25:27 2026 daemon.warning netcombiner[nc1][77]: msg="path failed"',
		'Mon Nov 23 14:25:27 2026 daemon.info procd: Instance netcombiner::nc0 crashed'
	];
	const { page } = await open('netcombiner.log', { router });
	assert.deepEqual((await texts(page, '.nc-log span')).map(text => text.trimEnd().slice(26)), [
		'{"level":"INFO","msg":"path up"}',
		'Warning  {"level":"WARN","msg":"path failed","why":"level=ERROR"}',
		'Error  {"level":"ERROR","msg":"ended"}',
		'Warning  nc0: msg="path failed"',
		'Error  nc0: msg=ended',
		'Error  netcombiner: no key',
		'Warning  nc0: no WAN yet',
		'Warning  msg="path failed"',
		'aemon.info procd: Instance netcombiner::nc0 crashed'
	]);
	assert.deepEqual(await page.$$eval('.nc-log .nc-error', all => all.length), 3);
	await end(page);
});

test('of the log only what is new is written, and what left it is gone', async () => {
	const router = new Router();
	router.lines = [ 'a', 'b', 'b', 'c' ];
	const { page } = await open('netcombiner.log', { router });
	const kept = await page.evaluateHandle(() => [ ...document.querySelectorAll('.nc-log span') ]);
	const step = async lines => {
		router.lines = lines;
		await poll(page);
		assert.equal(await page.textContent('.nc-log'), lines.map(line => line + '\n').join(''));
		return kept.evaluate(all => all.map(node => node.isConnected));
	};
	assert.deepEqual(await step([ 'b', 'b', 'c', 'd' ]), [ false, true, true, true ]);
	assert.deepEqual(await step([ 'b', 'c', 'd', 'd', 'e' ]), [ false, false, true, true ]);
	assert.deepEqual(await step([ 'x' ]), [ false, false, false, false ]);
	assert.deepEqual(await step([]), [ false, false, false, false ]);
	await end(page);
});

test('a phone needs no scrolling sideways, and nothing is cut off', async () => {
	const router = new Router();
	const now = clone(frames[9]), long = clone(remote);
	long.paths[0].name = long.totals[0].paths[0].name = 'a'.repeat(32);
	long.hints = [ 'b'.repeat(90) ];
	router.status = { nc0: now, nc123456789abcd: long };
	router.lines.push('c'.repeat(200));
	router.config.netcombiner.nc123456789abcd = { ...router.config.netcombiner.nc0, '.name': 'nc123456789abcd' };
	Object.assign(router.config.netcombiner.cfg01, { name: 'a'.repeat(32), tunnel: 'nc123456789abcd', rate: '123456kbit/123456kbit' });
	router.wans.unshift({ interface: 'wan_of_the_second_floor', device: 'wwan0-qmi1.1234', up: false, metric: 0, addresses: [] });
	for (const name of [ 'status', 'paths', 'tunnel', 'log' ]) {
		const { page } = await open('netcombiner.' + name, { router, width: 360 });
		const out = await page.$$eval('body, #view *:not(svg *, input)', all => all
			.filter(node => node.getBoundingClientRect().right > 360 || node.scrollWidth > node.clientWidth && getComputedStyle(node).overflowX != 'visible')
			.map(node => node.outerHTML.slice(0, 100)));
		assert.deepEqual(out, [], name);
		assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360, name);
		const broken = await page.$$eval('.nc-table :is(td:nth-child(2), th[scope=col])', cells => cells.filter(cell => {
			const text = document.createRange();
			text.selectNodeContents(cell);
			return text.getClientRects().length > 1;
		}).map(cell => cell.textContent));
		assert.deepEqual(broken, [], 'broken in two');
		await end(page);
	}
});

// The contrast of two colours, as the WCAG has it.
function contrast(...colours) {
	const light = colour => colour.match(/\d+/g).slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
	const [ a, b ] = colours.map(light).map(([ r, g, b ]) => 0.2126 * r + 0.7152 * g + 0.0722 * b).sort((a, b) => b - a);
	return (a + 0.05) / (b + 0.05);
}

test('whoever sees little can read every colour, on the light theme and on the dark one', async () => {
	const { page } = await open('netcombiner.status');
	for (const [ dark, ...grounds ] of [ [ false, 'rgb(255, 255, 255)', 'rgb(245, 245, 245)' ], [ true, 'rgb(34, 34, 34)', 'rgb(44, 44, 44)' ] ]) {
		const colours = await page.evaluate(dark => {
			document.documentElement.dataset.darkmode = dark;
			const node = document.body.appendChild(document.createElement('p'));
			return [ 'nc-summary', ...[ 'up', 'standby', 'connecting', 'failed', 'down' ].map(state => 'nc-badge nc-' + state), 'nc-warning', 'nc-error', 'nc-wrong' ]
				.map(name => (node.className = name, [ name, getComputedStyle(node).color ]));
		}, dark);
		for (const ground of grounds)
			for (const [ name, colour ] of colours)
				assert.ok(contrast(colour, ground) >= 4.5, `${name}: ${colour} on ${ground} is ${contrast(colour, ground)}`);
	}
	await end(page);
});
