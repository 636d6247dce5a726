// The plugin's pages: their scripts by eslint, what they ask of the API, and the status page
// in a headless Chromium on answers of the real daemon.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import js from '../../../openwrt/test/luci/node_modules/@eslint/js/src/index.js';
import eslint from '../../../openwrt/test/luci/node_modules/eslint/lib/api.js';
import globals from '../../../openwrt/test/luci/node_modules/globals/index.js';
import { chromium } from '../../../openwrt/test/luci/node_modules/playwright-core/index.mjs';

const app = '../net/netcombiner/src/opnsense/mvc/app/';
const read = file => readFileSync(new URL(app + file, import.meta.url), 'utf8');
const recorded = JSON.parse(readFileSync(new URL('../../../openwrt/test/luci/recorded.json', import.meta.url), 'utf8'));

// page is a view as Volt makes it, without the parts that OPNsense has.
function page(name) {
	return read(`views/OPNsense/Netcombiner/${name}.volt`)
		.replace(/\{\{ lang\._\('([^']*)'\) \}\}/g, '$1')
		.replace(/\{\{ grid(\w+)\[['"](\w+)['"]\] \}\}/g, (_, kind, field) => (field == 'edit_dialog_id' ? 'dialog_' : '') + 'dialog' + kind)
		.replace(/\{\{ partial\(.*\) \}\}/g, '');
}

const script = name => page(name).match(/<script>([^]*)<\/script>/)[1];
const pages = [ 'settings', 'status' ];

for (const name of pages) {
	test(`the script of ${name} is one that eslint takes`, () => {
		assert.ok(!/\{\{|\{%|\{#/.test(page(name)), 'Volt would make something else of it');
		const names = [ '$', 'ajaxCall', 'ajaxGet', 'clearFormValidation', 'formatTokenizersUI', 'mapDataToFormUI', 'saveFormToEndpoint', 'updateServiceControlUI' ];
		const said = new eslint.Linter().verify(script(name), [ {
			...js.configs.recommended,
			languageOptions: { sourceType: 'script', ecmaVersion: 2020, globals: { ...globals.browser, ...Object.fromEntries(names.map(one => [ one, 'readonly' ])) } },
			rules: { ...js.configs.recommended.rules, 'no-unused-vars': [ 'error', { args: 'none' } ] }
		} ]);
		assert.deepEqual(said, []);
	});
}

test('what the pages ask of the API is there', () => {
	const camel = name => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
	const has = (controller, action) => read(`controllers/OPNsense/Netcombiner/Api/${controller}Controller.php`).includes(`function ${camel(action)}Action(`);
	const settings = script('settings');
	const asked = [ ...settings.matchAll(/api \+ '(\w+)/g) ].map(found => found[1]).flatMap(action =>
		action.endsWith('_') ? [ 'tunnel', 'path', 'listen' ].map(kind => action + kind) : [ action ]);
	asked.push(...[ ...settings.matchAll(/\['\w+', '(\w+)'\]/g) ].map(found => found[1]));
	assert.ok(asked.length > 20, asked.join());
	// get and set are those of the framework.
	assert.deepEqual(asked.filter(action => !has('Settings', action) && ![ 'get', 'set' ].includes(action)), []);
	for (const [ , controller, action ] of (page('settings') + page('status') + read('views/OPNsense/Netcombiner/settings.volt')).matchAll(/\/api\/netcombiner\/(status|service)\/(\w+)/g))
		assert.ok(has(controller[0].toUpperCase() + controller.slice(1), action), action);
});

test('each field that the script of settings names is in a form', () => {
	const ids = [ 'Tunnel', 'Path', 'Listen', 'Token', 'Wans' ].flatMap(form => [ ...read(`controllers/OPNsense/Netcombiner/forms/dialog${form}.xml`).matchAll(/<id>(.*)<\/id>/g) ]).map(found => found[1]);
	const used = [ ...script('settings').matchAll(/'#(?:control_label_)?(tunnel|token|wans)\\\\\.(\w+)'|'((?:token|wans)\.\w+)'/g) ].map(found => found[3] ?? found[1] + '.' + found[2]);
	assert.ok(used.length >= 8, used.join());
	assert.deepEqual(used.filter(id => !ids.includes(id)), []);
	// What a dialog stands in is made of the form's name.
	for (const dialog of [ 'Token', 'Wans' ])
		assert.ok(read('views/OPNsense/Netcombiner/settings.volt').includes(`'id': 'dialog${dialog}'`));
});

let browser;

before(async () => {
	browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: [ '--no-sandbox', '--disable-gpu' ], timeout: 30000 });
});

after(() => browser?.close());

// status opens the status page; answers are what the API says, one after the other, and the
// last one again and again.
async function status(answers) {
	const view = await browser.newPage();
	view.setDefaultTimeout(5000);
	view.complaints = [];
	view.on('console', message => [ 'error', 'warning' ].includes(message.type()) && view.complaints.push(message.text()));
	view.on('pageerror', error => view.complaints.push(error.stack));
	await view.setContent(`<!DOCTYPE html><html><body>
<script>
	const answers = ${JSON.stringify(answers).replaceAll('<', '\\u003c')};
	const asked = [], started = [];
	window.setTimeout = again => { window.again = again; };
	window.$ = () => ({ ready: begin => window.addEventListener('load', begin) });
	window.updateServiceControlUI = name => started.push(name);
	window.ajaxGet = (url, data, done) => {
		asked.push(url);
		const answer = answers[Math.min(asked.length, answers.length) - 1];
		done(answer ?? {}, answer ? 'success' : 'error');
	};
</script>${page('status')}</body></html>`, { waitUntil: 'load' });
	return view;
}

const texts = (view, selector) => view.$$eval(selector, nodes => nodes.map(node => node.textContent));
const rows = async view => (await view.$$eval('tbody tr', all => all.map(row => [ ...row.children ].map(cell => cell.textContent))));
const closed = async view => {
	assert.deepEqual(view.complaints, []);
	await view.close();
};

test('the status page shows each path, and how fast it is by the daemon\'s own clock', async () => {
	const frames = recorded.local.slice(0, 2);
	const view = await status(frames.map(frame => ({ tunnels: [ frame ], problems: {}, names: { nc0: 'home' } })));
	assert.deepEqual(await view.evaluate('[asked, started]'), [ [ '/api/netcombiner/status/show' ], [ 'netcombiner' ] ]);
	assert.equal((await texts(view, 'h3'))[0], 'home (nc0) Connected');
	let shown = await rows(view);
	assert.deepEqual(shown.map(row => row[0]), frames[0].paths.map(path => path.name));
	assert.deepEqual(shown.map(row => row[5]), frames[0].paths.map(() => '–'), 'nothing is known of the first answer');
	const all = frames[0].paths.reduce((sum, path) => sum + path.rx.bytes + path.tx.bytes, 0);
	assert.deepEqual(shown.map(row => row[9]), frames[0].paths.map(path => (100 * (path.rx.bytes + path.tx.bytes) / all).toFixed(0) + ' %'));

	await view.evaluate('again()');
	shown = await rows(view);
	const seconds = frames[1].uptime_s - frames[0].uptime_s;
	const speed = (frames[1].paths[0].rx.bytes - frames[0].paths[0].rx.bytes) * 8 / seconds;
	assert.equal(shown[0][5], (speed / 1e6).toFixed(1) + ' Mbit/s');
	assert.deepEqual(shown[1].slice(1, 5), [ 'Up', 'udp', frames[1].paths[1].local + ' → ' + frames[1].paths[1].remote, '0' ]);
	assert.equal(shown[1][7], '12 ms');
	assert.equal(shown[1][8], '0.3 %');
	assert.match(shown[1][10], /^2\.21 MB \/ 30\.0 MB, 2026-12-15$/);
	assert.equal(shown[2][1], 'Standby');
	assert.match((await texts(view, 'p'))[0], /^In [\d.]+ Mbit\/s · Out [\d.]+ Mbit\/s · MTU 1409 · aes128gcm · runs for 0 min 6 s$/);
	await closed(view);
});

test('after a restart nothing is said to be fast', async () => {
	const [ first, second ] = recorded.local;
	const view = await status([ second, { ...first, uptime_s: 1 } ].map(frame => ({ tunnels: [ frame ], problems: {}, names: {} })));
	await view.evaluate('again()');
	assert.deepEqual((await rows(view)).map(row => row[5]), first.paths.map(() => '–'));
	assert.equal((await texts(view, 'h3'))[0], 'nc0 Connected');
	await closed(view);
});

test('what does not run says why, and nothing that comes from elsewhere is markup', async () => {
	const evil = '<img src=x onerror="window.evil = true"><b>';
	const frame = structuredClone(recorded.local[1]);
	frame.paths[0].name = frame.paths[0].remote = frame.paths[0].state = frame.session.state = frame.session.suite = evil;
	frame.hints = [ evil ];
	const view = await status([ { tunnels: [ frame ], problems: { nc1: 'the name is taken ' + evil }, names: { nc0: evil, nc1: 'vps' } } ]);
	assert.equal((await texts(view, 'h3'))[1], 'vps (nc1) Off');
	assert.equal((await texts(view, '.text-danger'))[0], 'the name is taken ' + evil);
	assert.deepEqual(await texts(view, '.text-warning'), [ evil ]);
	assert.equal((await rows(view))[0][0], evil);
	assert.equal(await view.$$eval('#netcombiner img, #netcombiner b', found => found.length), 0);
	assert.equal(await view.evaluate('window.evil'), undefined);
	await closed(view);
});

test('without a tunnel, and without an answer, a person is told', async () => {
	const view = await status([ { tunnels: [], problems: {}, names: {} }, null ]);
	assert.match((await texts(view, '#netcombiner'))[0], /^No tunnel is enabled: see Tunnels/);
	await view.evaluate('again()');
	assert.equal((await texts(view, '#netcombiner'))[0], 'This firewall does not answer.');
	await view.evaluate('again()');
	assert.equal(await view.evaluate('asked.length'), 3, 'it does not ask again');
	await closed(view);
});

test('a remote portal, whose paths are those of others, is shown, too', async () => {
	const view = await status([ { tunnels: [ [].concat(recorded.remote)[0] ], problems: {}, names: {} } ]);
	assert.ok((await rows(view)).length > 0);
	await closed(view);
});
