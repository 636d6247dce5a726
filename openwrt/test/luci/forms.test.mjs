import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { end, open, start, stop, texts } from './browser.mjs';
import { KEY, Router, TOKEN } from './router.mjs';

before(start);
after(stop);

const field = (id, option) => `[data-field="cbid.netcombiner.${id}.${option}"]`;
const input = (id, option) => `${field(id, option)} :is(input, select)`;
const saved = (page, config, id) => page.evaluate(([ config, id ]) => luci.uci.saved?.[config]?.[id] ?? null, [ config, id ]);
const save = page => page.evaluate(() => window.map.save().then(() => true, () => false));

// type as a person does: the page hears each key.
async function type(page, selector, text) {
	await page.fill(selector, '');
	await page.type(selector, text);
}

async function edit(page, id) {
	await page.click(`tr[data-section-id=${id}] .edit`);
	await page.waitForSelector('#modal');
}

test('the daemon\'s own words stand under a wrong value, and go when it is right', async () => {
	const { page } = await open('netcombiner.paths');
	await edit(page, 'cfg01');
	await type(page, '#modal ' + input('cfg01', 'rate'), 'fast');
	const wrong = await page.waitForSelector('#modal .nc-wrong');
	assert.equal(await wrong.textContent(), 'not a rate; allowed: down/up or one for both, 8kbit to 1000gbit each, as in 40mbit/10mbit');
	assert.equal(await wrong.getAttribute('role'), 'alert');
	assert.equal(await page.getAttribute('#modal ' + input('cfg01', 'rate'), 'aria-describedby'), await wrong.getAttribute('id'));
	assert.equal(await page.getAttribute('#modal ' + input('cfg01', 'rate'), 'aria-invalid'), 'true');
	await type(page, '#modal ' + input('cfg01', 'rate'), '40mbit/10mbit');
	await page.waitForFunction(() => !document.querySelector('#modal .nc-wrong'));
	assert.equal(await page.getAttribute('#modal ' + input('cfg01', 'rate'), 'aria-invalid'), 'false');
	await end(page);
});

test('one question for a value, once nobody types, and none for one that is known', async () => {
	const { page, router } = await open('netcombiner.paths');
	await edit(page, 'cfg01');
	await type(page, '#modal ' + input('cfg01', 'metric'), '70000x');
	await page.waitForSelector('#modal .nc-wrong');
	const asked = () => router.calls.filter(call => call[1] == 'check' && call[2].key == 'metric');
	assert.equal(asked().length, 1);
	assert.deepEqual(asked()[0][2], { section: 'path', key: 'metric', value: '70000x',
		with: { name: 'dsl', interface: 'wan', transport: 'udp', remote: 'vps.example.org:4725', direction: 'both', congestion: 'bbr', tunnel: 'nc0', enabled: '1' } });
	await page.focus('#modal ' + input('cfg01', 'rate'));
	await page.focus('#modal ' + input('cfg01', 'metric'));
	assert.equal(asked().length, 1);
	await end(page);
});

test('who saves waits for the verdict, and a wrong value is not saved', async () => {
	const { page, router } = await open('netcombiner.paths');
	const slowly = router.netcombiner_check;
	router.netcombiner_check = question => new Promise(answer => setTimeout(() => answer(slowly(question)), 300));
	await edit(page, 'cfg01');
	await page.fill('#modal ' + input('cfg01', 'rate'), 'fast'); // and at once
	await page.click('#modal .save');
	await page.waitForSelector('#modal .nc-wrong');
	assert.equal(await saved(page, 'netcombiner', 'cfg01'), null);
	await page.fill('#modal ' + input('cfg01', 'rate'), '40mbit');
	await page.click('#modal .save');
	await page.waitForSelector('#modal', { state: 'detached' });
	assert.equal((await saved(page, 'netcombiner', 'cfg01')).rate, '40mbit');
	assert.equal((await page.textContent('tr[data-section-id=cfg01] [data-name=rate]')), '40mbit');
	await end(page);
});

test('what must fit together is judged together', async () => {
	const { page } = await open('netcombiner.paths');
	await edit(page, 'cfg01');
	await type(page, '#modal ' + input('cfg01', 'remote'), 'vps.example.org');
	assert.match(await (await page.waitForSelector('#modal .nc-wrong')).textContent(), /^not a host and port/);
	await page.selectOption('#modal ' + input('cfg01', 'transport'), 'ip');
	assert.ok(await page.isVisible('#modal ' + field('cfg01', 'protocol')));
	await page.click('#modal .save');
	await page.waitForSelector('#modal', { state: 'detached' });
	const path = await saved(page, 'netcombiner', 'cfg01');
	assert.deepEqual([ path.transport, path.remote ], [ 'ip', 'vps.example.org' ]);
	await end(page);
});

test('a router that does not answer keeps nobody from saving', async () => {
	const { page, router } = await open('netcombiner.paths');
	router.netcombiner_check = () => Promise.reject(new Error('timeout'));
	await edit(page, 'cfg01');
	await page.fill('#modal ' + input('cfg01', 'rate'), '7mbit');
	await page.click('#modal .save');
	await page.waitForSelector('#modal', { state: 'detached' });
	assert.equal((await saved(page, 'netcombiner', 'cfg01')).rate, '7mbit');
	await end(page);
});

test('the table tells of each path what is configured, and its state now', async () => {
	const { page, router } = await open('netcombiner.paths');
	const row = () => page.$$eval('tr[data-section-id=cfg02] > td', cells => cells.slice(0, 7).map(cell => cell.textContent));
	assert.deepEqual(await row(), [ 'Up', 'lte', 'wwan', 'UDP', '10', '–', '50GB' ]);
	router.status = {};
	await page.evaluate(() => luci.poll.step());
	assert.deepEqual((await row())[0], '–');
	await page.uncheck(input('cfg02', 'enabled'));
	assert.ok(await save(page));
	assert.equal((await saved(page, 'netcombiner', 'cfg02')).enabled, '0');
	await end(page);
});

test('a path without a name has its link\'s, and a name is text in a dialogue\'s title, too', async () => {
	const router = new Router();
	delete router.config.netcombiner.cfg01.name;
	router.config.netcombiner.cfg01.interface = 'dsl'; // as the daemon's path is called
	router.config.netcombiner.cfg02.name = '<b>bold</b>';
	const { page } = await open('netcombiner.paths', { router });
	assert.equal(await page.textContent('tr[data-section-id=cfg01] .nc-badge'), 'Up');
	await edit(page, 'cfg02');
	assert.equal(await page.textContent('#modal h4'), 'Path <b>bold</b>');
	await end(page);
});

test('a path is added for a WAN that has none, with the server of the others', async () => {
	const { page } = await open('netcombiner.paths');
	assert.deepEqual(await texts(page, '.cbi-section-create option'), [ 'wan6 (not connected)', 'another...' ]);
	await page.click('text=Add path');
	await page.waitForSelector('#modal');
	assert.equal(await page.textContent('#modal h4'), 'Path wan6');
	await page.click('#modal .save');
	await page.waitForSelector('#modal', { state: 'detached' });
	const added = await page.evaluate(() => Object.values(luci.uci.saved.netcombiner).find(s => s.interface == 'wan6'));
	assert.deepEqual([ added.tunnel, added.name, added.remote, added.enabled ], [ 'nc0', 'wan6', 'vps.example.org:4725', '1' ]);
	await end(page);
});

test('a remote portal has listeners instead of paths', async () => {
	const router = new Router();
	router.config.netcombiner = {
		vps: { '.type': 'tunnel', '.name': 'vps', role: 'remote', key: KEY },
		cfg01: { '.type': 'listen', '.name': 'cfg01', tunnel: 'vps', transport: 'tcp', address: '[::]:443', open_firewall: '1' }
	};
	const { page } = await open('netcombiner.paths', { router });
	assert.deepEqual(await texts(page, 'h3'), [ 'Listeners' ]);
	assert.deepEqual(await page.$$eval('tr[data-section-id=cfg01] > td', cells => cells.slice(0, 2).map(cell => cell.textContent)), [ 'TCP', '[::]:443' ]);
	await end(page);
});

test('what the daemon refuses as a whole is saved, but not applied', async () => {
	for (const name of [ 'netcombiner.paths', 'netcombiner.tunnel' ]) {
		const router = new Router();
		router.refuses = [ '[Path] lte: Name = dsl: the name of the path on line 9 too; allowed: a name of its own' ];
		const { page } = await open(name, { router });
		const apply = () => page.evaluate(() => shown.handleSaveApply(null, '0').then(() => window.applied ?? null));
		assert.equal(await apply(), null);
		assert.match(await page.textContent('.alert-message.danger'), /nc0: \[Path\] lte: Name = dsl: the name of the path/);
		assert.ok(await saved(page, 'netcombiner', 'nc0'));
		router.refuses = [];
		assert.equal(await apply(), true);
		await end(page);
	}
});

test('the key is shown only to who asks', async () => {
	const { page, router } = await open('netcombiner.tunnel');
	assert.equal(await page.inputValue(input('nc0', 'key')), KEY);
	assert.equal(await page.getAttribute(input('nc0', 'key'), 'type'), 'password');
	assert.ok(!(await page.textContent('body')).includes(KEY));
	await page.click(field('nc0', 'key') + ' .reveal');
	assert.equal(await page.getAttribute(input('nc0', 'key'), 'type'), 'text');
	await type(page, field('nc0', 'address') + ' .item:last-child', 'nonsense');
	await page.waitForSelector('.nc-wrong');
	await type(page, field('nc0', 'address') + ' .item:last-child', 'fd19:152::3/127');
	assert.ok(await save(page));
	assert.ok(router.count('check') > 1);
	for (const [ , method, given ] of router.calls)
		assert.ok(!JSON.stringify(given).includes(KEY), method + ' is told of the key');
	await end(page);
});

test('what the daemon does by itself takes no line of the configuration', async () => {
	const { page, router } = await open('netcombiner.tunnel');
	assert.ok(await save(page));
	assert.deepEqual(await saved(page, 'netcombiner', 'nc0'), router.config.netcombiner.nc0);
	await page.selectOption(input('nc0', 'scheduler'), 'redundant');
	assert.ok(await save(page));
	assert.equal((await saved(page, 'netcombiner', 'nc0')).scheduler, 'redundant');
	await page.selectOption(input('nc0', 'scheduler'), 'earliest');
	assert.ok(await save(page));
	assert.equal((await saved(page, 'netcombiner', 'nc0')).scheduler, undefined);
	await end(page);
});

test('what UCI says in another word for yes is not taken for no', async () => {
	const router = new Router();
	router.config.netcombiner.nc0.authenticate_addresses = '1';
	const { page } = await open('netcombiner.tunnel', { router });
	assert.equal(await page.inputValue(input('nc0', 'authenticate_addresses')), 'yes');
	assert.ok(await save(page));
	assert.equal((await saved(page, 'netcombiner', 'nc0')).authenticate_addresses, '1');
	await page.selectOption(input('nc0', 'authenticate_addresses'), 'no');
	assert.ok(await save(page));
	assert.equal((await saved(page, 'netcombiner', 'nc0')).authenticate_addresses, undefined);
	await end(page);
});

test('a key is made where it is wanted', async () => {
	const { page, router } = await open('netcombiner.tunnel');
	await page.click('text=Generate a key');
	await page.waitForFunction(old => document.querySelector('[data-field="cbid.netcombiner.nc0.key"] input').value != old, KEY);
	assert.equal(await page.getAttribute(input('nc0', 'key'), 'type'), 'password');
	assert.equal(router.count('key'), 0, 'kept before it is saved');
	assert.ok(await save(page));
	const tunnel = await saved(page, 'netcombiner', 'nc0');
	assert.equal(tunnel.key, undefined);
	assert.equal(router.keys[tunnel.key_file], router.netcombiner_genkey().key);
	assert.equal(await page.inputValue(input('nc0', 'key')), '');
	assert.equal(await page.getAttribute(input('nc0', 'key'), 'placeholder'), 'in its file');
	assert.equal(await page.inputValue(input('nc0', 'key_file')), tunnel.key_file);
	assert.ok(await save(page));
	assert.equal((await saved(page, 'netcombiner', 'nc0')).key_file, tunnel.key_file);
	assert.equal(router.count('key'), 1, 'kept again without a change');
	await end(page);
});

test('a key that cannot be kept is not saved, nor the old one lost', async () => {
	const { page, router } = await open('netcombiner.tunnel');
	router.refuse = 'cannot write to /etc/netcombiner/keys; is the flash full?';
	await page.click('text=Generate a key');
	await page.waitForFunction(old => document.querySelector('[data-field="cbid.netcombiner.nc0.key"] input').value != old, KEY);
	assert.equal(await save(page), false);
	assert.match(await page.textContent('.alert-message'), /is the flash full/);
	assert.equal(await page.evaluate(() => luci.uci.get('netcombiner', 'nc0', 'key')), KEY);
	await end(page);
});

test('a token sets up a tunnel, its paths, its interface and its zone', async () => {
	const router = new Router();
	router.config.netcombiner = { globals: { '.type': 'globals', '.name': 'globals' } };
	const { page } = await open('netcombiner.tunnel', { router });
	await page.click('text=Set up with a token...');
	await page.waitForSelector('#modal');
	assert.equal(await page.getAttribute('#nc-token input', 'type'), 'password');
	assert.deepEqual(await page.$$eval('#modal [type=checkbox]', boxes => boxes.map(box => [ box.value, box.checked ])),
		[ [ 'wan', true ], [ 'wwan', true ], [ 'wan6', false ] ]);
	await page.fill('#nc-token input', 'nc1.half');
	await page.click('text="Set up"');
	await page.waitForSelector('#modal .alert-message:not([hidden])');
	assert.equal(await page.textContent('#modal .alert-message'), 'the token is mangled: copied whole?');
	assert.equal(await saved(page, 'netcombiner', 'nc0'), null);

	await page.fill('#nc-token input', TOKEN);
	await page.click('text="Set up"');
	await page.waitForSelector('#modal', { state: 'detached' });
	const tunnel = await saved(page, 'netcombiner', 'nc0');
	assert.deepEqual([ tunnel.role, tunnel.enabled, tunnel.key, tunnel.routing ], [ 'local', '1', undefined, 'nat' ]);
	assert.equal(router.keys[tunnel.key_file], KEY);
	assert.deepEqual(tunnel.address, [ '172.19.152.5/31', 'fd19:152::5/127' ]);
	const paths = await page.evaluate(() => Object.values(luci.uci.saved.netcombiner).filter(s => s['.type'] == 'path').map(s => [ s.tunnel, s.name, s.interface, s.transport, s.remote ]));
	assert.deepEqual(paths, [ [ 'nc0', 'wan', 'wan', 'udp', '198.51.100.9:4725' ], [ 'nc0', 'wwan', 'wwan', 'udp', '198.51.100.9:4725' ] ]);
	assert.deepEqual([ (await saved(page, 'network', 'nc0')).proto, (await saved(page, 'network', 'nc0')).tunnel ], [ 'netcombiner', 'nc0' ]);
	assert.deepEqual((await saved(page, 'firewall', 'cfg11')).network, [ 'wan', 'wwan', 'nc0' ]);

	assert.equal(await page.evaluate(() => luci.ui.closed.querySelector('#nc-token input').value), '', 'LuCI keeps closed dialogues');
	await page.waitForSelector(input('nc0', 'key')); // and the page shows the rest
	assert.equal(await page.inputValue(input('nc0', 'key')), '');
	assert.equal(await page.inputValue(field('nc0', 'address') + ' .item'), '172.19.152.5/31');
	assert.equal(await page.inputValue(input('nc0', '_zone')), 'wan');
	assert.ok(!(await page.content()).includes(KEY));
	await end(page);
});

test('a token for a tunnel that is there keeps what its paths are', async () => {
	const { page } = await open('netcombiner.tunnel');
	await page.click('text=Paste a token...');
	await page.waitForSelector('#modal');
	assert.ok(await page.isDisabled('#nc-name input'));
	await page.fill('#nc-token input', TOKEN);
	await page.click('text="Set up"');
	await page.waitForSelector('#modal', { state: 'detached' });
	assert.equal((await saved(page, 'netcombiner', 'nc0')).key, undefined, 'the old key, beside the file of the new');
	const lte = await saved(page, 'netcombiner', 'cfg02');
	assert.deepEqual([ lte.name, lte.interface, lte.metric, lte.quota, lte.remote ], [ 'lte', 'wwan', '10', '50GB', '198.51.100.9:4725' ]);
	assert.equal(await page.evaluate(() => Object.values(luci.uci.saved.netcombiner).filter(s => s['.type'] == 'path').length), 2);
	await end(page);
});

test('a zone is offered, and nothing is changed before somebody chooses one', async () => {
	const { page } = await open('netcombiner.tunnel');
	assert.ok(await save(page));
	assert.equal(await saved(page, 'network', 'nc0'), null);
	assert.deepEqual((await saved(page, 'firewall', 'cfg11')).network, [ 'wan', 'wwan' ]);
	await page.selectOption(input('nc0', '_zone'), 'lan');
	assert.ok(await save(page));
	assert.equal((await saved(page, 'network', 'nc0')).proto, 'netcombiner');
	assert.deepEqual((await saved(page, 'firewall', 'cfg10')).network, [ 'lan', 'nc0' ]);
	await page.selectOption(input('nc0', '_zone'), 'wan');
	assert.ok(await save(page));
	assert.deepEqual((await saved(page, 'firewall', 'cfg10')).network, [ 'lan' ]);
	assert.deepEqual((await saved(page, 'firewall', 'cfg11')).network, [ 'wan', 'wwan', 'nc0' ]);
	await end(page);
});

test('a tunnel does not take the place of another interface', async () => {
	const router = new Router();
	router.config.network.nc0 = { '.type': 'interface', '.name': 'nc0', proto: 'static' };
	const { page } = await open('netcombiner.tunnel', { router });
	await page.selectOption(input('nc0', '_zone'), 'lan');
	assert.equal(await save(page), false);
	await page.click('text=Set up with a token...');
	await page.fill('#nc-name input', 'lan');
	await page.fill('#nc-token input', TOKEN);
	await page.click('text="Set up"');
	await page.waitForSelector('#modal .alert-message:not([hidden])');
	assert.match(await page.textContent('#modal .alert-message'), /^Another interface has this name/);
	assert.equal(await page.evaluate(() => luci.uci.get('network', 'lan', 'proto')), 'static');
	assert.equal(await page.evaluate(() => luci.uci.get('network', 'nc0', 'proto')), 'static');
	await end(page);
});

test('with a tunnel go its paths and its interface, and nothing else', async () => {
	const router = new Router();
	router.config.netcombiner.nc1 = { '.type': 'tunnel', '.name': 'nc1', role: 'local' };
	router.config.netcombiner.cfg03 = { '.type': 'path', '.name': 'cfg03', tunnel: 'nc1', name: 'x', remote: 'a:1' };
	router.config.network.nc0 = { '.type': 'interface', '.name': 'nc0', proto: 'netcombiner' };
	router.config.firewall.cfg11.network.push('nc0');
	const { page } = await open('netcombiner.tunnel', { router });
	assert.deepEqual(await texts(page, 'h3'), [ 'nc0', 'nc1' ]);
	await page.click('.delete[data-section-id=nc0]');
	await page.waitForFunction(() => luci.uci.saved);
	assert.deepEqual(await page.evaluate(() => Object.keys(luci.uci.saved.netcombiner)), [ 'globals', 'nc1', 'cfg03' ]);
	assert.equal(await saved(page, 'network', 'nc0'), null);
	assert.deepEqual((await saved(page, 'firewall', 'cfg11')).network, [ 'wan', 'wwan' ]);
	await end(page);
});

test('every field has a help text and a name that a screen reader finds', async () => {
	for (const name of [ 'tunnel', 'paths' ]) {
		const { page } = await open('netcombiner.' + name);
		const bare = await page.evaluate(() => window.map.children.flatMap(s => s.children)
			.filter(o => !o.option.startsWith('_') && !o.editable && (!o.title.trim() || !o.description)).map(o => o.option));
		assert.deepEqual(bare, []);
		const nameless = await page.$$eval('.cbi-section-create :is(input, select), button', all => all
			.filter(node => !node.getAttribute('aria-label') && !node.textContent.trim()).map(node => node.outerHTML));
		assert.deepEqual(nameless, []);
		await end(page);
	}
});

test('the protocol offers the tunnels that there are', async () => {
	const { page } = await open('netcombiner.tunnel');
	const shown = await page.evaluate(async () => {
		await load('protocol.netcombiner');
		await luci.uci.load('network');
		luci.uci.state.network.vpn = { '.type': 'interface', '.name': 'vpn', proto: 'netcombiner', tunnel: 'nc0' };
		const made = {};
		const s = { section: 'vpn', taboption: (tab, Kind, option, title, help) => made[option] = { tab, help, choices: [], value(v) { this.choices.push(v); } } };
		const p = window.protocols.netcombiner;
		p.renderFormOptions(s); // LuCI does not wait
		const value = await made.tunnel.load('vpn');
		return { ...made.tunnel, value, kind: [ p.isFloating(), p.isVirtual(), p.getPackageName(), p.getDevices() ] };
	});
	assert.deepEqual(shown.choices, [ 'nc0' ]);
	assert.equal(shown.value, 'nc0');
	assert.deepEqual(shown.kind, [ true, true, 'netcombiner', null ]);
	await end(page);
});
