// The status page in a headless Chromium: its script by eslint, and what it makes of answers of
// the real daemon.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import js from '../../../openwrt/test/luci/node_modules/@eslint/js/src/index.js';
import eslint from '../../../openwrt/test/luci/node_modules/eslint/lib/api.js';
import globals from '../../../openwrt/test/luci/node_modules/globals/index.js';
import { chromium } from '../../../openwrt/test/luci/node_modules/playwright-core/index.mjs';

const read = file => readFileSync(new URL(file, import.meta.url), 'utf8');
const pages = '../net/pfSense-pkg-netcombiner/files/usr/local/www/packages/netcombiner/';
const script = read(pages + 'status.js');
const recorded = JSON.parse(read('../../../openwrt/test/luci/recorded.json'));

// words are those that status.php has, by the names under which the script asks for them.
const words = Object.fromEntries([ ...read(pages + 'status.php').matchAll(/'(\w+)' => gettext\('([^']*)'\)/g) ].map(found => [ found[1], found[2] ]));

test('the script is one that eslint takes', () => {
	assert.deepEqual(new eslint.Linter().verify(script, [ {
		...js.configs.recommended,
		languageOptions: { sourceType: 'script', ecmaVersion: 2020, globals: globals.browser }
	} ]), []);
});

let browser;

before(async () => {
	browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: [ '--no-sandbox', '--disable-gpu' ], timeout: 30000 });
});

after(() => browser?.close());

// status opens the page; answers are what show.php says, one after the other, null for none,
// and the last one again and again.
async function status(answers) {
	const view = await browser.newPage();
	view.setDefaultTimeout(5000);
	view.complaints = [];
	view.on('pageerror', error => view.complaints.push(error.stack));
	await view.setContent(`<!DOCTYPE html><html><body><div id="netcombiner"></div>
<script>
	const answers = ${JSON.stringify(answers).replaceAll('<', '\\u003c')};
	const asked = [];
	document.getElementById('netcombiner').dataset.words = ${JSON.stringify(JSON.stringify(words))};
	window.setTimeout = again => { window.again = again; };
	window.fetch = async url => {
		asked.push(url);
		const answer = answers[Math.min(asked.length, answers.length) - 1];
		if (!answer)
			throw new Error('no answer');
		return { json: async () => answer };
	};
</script><script>${script}</script></body></html>`, { waitUntil: 'load' });
	await view.waitForFunction('window.again');
	return view;
}

const texts = (view, selector) => view.$$eval(selector, nodes => nodes.map(node => node.textContent));
const rows = view => view.$$eval('tbody tr', all => all.map(row => [ ...row.children ].map(cell => cell.textContent)));
const closed = async view => {
	assert.deepEqual(view.complaints, []);
	await view.close();
};

test('each path is shown, and how fast it is by the daemon\'s own clock', async () => {
	const frames = recorded.local.slice(0, 2);
	const view = await status(frames.map(frame => ({ tunnels: [ frame ], problems: {}, names: { nc0: 'home' } })));
	assert.deepEqual(await view.evaluate('asked'), [ '/packages/netcombiner/show.php' ]);
	assert.equal((await texts(view, 'h2'))[0], 'home (nc0) Connected');
	assert.deepEqual((await rows(view)).map(row => [ row[0], row[5] ]), frames[0].paths.map(path => [ path.name, '–' ]), 'nothing is known of the first answer');

	await view.evaluate('again()');
	const shown = await rows(view);
	const speed = (frames[1].paths[0].rx.bytes - frames[0].paths[0].rx.bytes) * 8 / (frames[1].uptime_s - frames[0].uptime_s);
	assert.equal(shown[0][5], (speed / 1e6).toFixed(1) + ' Mbit/s');
	assert.deepEqual(shown[1].slice(1, 5), [ 'Up', 'udp', frames[1].paths[1].local + ' → ' + frames[1].paths[1].remote, '0' ]);
	assert.deepEqual(shown[1].slice(7, 9), [ '12 ms', '0.3 %' ]);
	assert.equal(shown[1][10], '2.21 MB / 30.0 MB, 2026-12-15');
	const moved = frames[1].paths.map((path, i) => path.rx.bytes + path.tx.bytes - frames[0].paths[i].rx.bytes - frames[0].paths[i].tx.bytes);
	const all = moved.reduce((sum, one) => sum + one, 0);
	assert.deepEqual(shown.map(row => row[9]), moved.map(one => (100 * one / all).toFixed(0) + ' %'));
	await closed(view);
});

test('after a restart nothing is said to be fast', async () => {
	const [ first, second ] = recorded.local;
	const view = await status([ second, { ...first, uptime_s: 1 } ].map(frame => ({ tunnels: [ frame ], problems: {}, names: {} })));
	await view.evaluate('again()');
	assert.deepEqual((await rows(view)).map(row => row[5]), first.paths.map(() => '–'));
	await closed(view);
});

test('what does not run says why, and nothing that comes from elsewhere is markup', async () => {
	const evil = '<img src=x onerror="window.evil = true"><b>';
	const frame = structuredClone(recorded.local[1]);
	frame.paths[0].name = frame.paths[0].remote = frame.paths[0].state = frame.session.state = frame.session.suite = evil;
	frame.hints = [ evil ];
	const view = await status([ { tunnels: [ frame ], problems: { nc1: 'no pf ' + evil }, names: { nc0: evil, nc1: 'vps' } } ]);
	assert.equal((await texts(view, 'h2'))[1], 'vps (nc1) Off');
	assert.deepEqual(await texts(view, '.text-danger'), [ 'no pf ' + evil ]);
	assert.deepEqual(await texts(view, '.text-warning'), [ evil ]);
	assert.equal((await rows(view))[0][0], evil);
	assert.equal(await view.$$eval('#netcombiner img, #netcombiner b', found => found.length), 0);
	assert.equal(await view.evaluate('window.evil'), undefined);
	await closed(view);
});

test('without a tunnel, and without an answer, a person is told, and it goes on asking', async () => {
	const view = await status([ { tunnels: [], problems: {}, names: {} }, null ]);
	assert.match((await texts(view, '#netcombiner'))[0], /^No tunnel is enabled: see Tunnels/);
	await view.evaluate('again()');
	assert.match((await texts(view, '#netcombiner'))[0], /^This firewall does not answer/);
	await view.evaluate('again()');
	assert.equal(await view.evaluate('asked.length'), 3);
	await closed(view);
});

test('a remote portal, whose paths are those of others, is shown, too', async () => {
	const view = await status([ { tunnels: [ [].concat(recorded.remote)[0] ], problems: {}, names: {} } ]);
	assert.ok((await rows(view)).length > 0);
	await closed(view);
});
