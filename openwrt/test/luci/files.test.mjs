import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { extract, files, languages, po, template } from './texts.mjs';

const openwrt = fileURLToPath(new URL('../..', import.meta.url));
const read = file => readFileSync(join(openwrt, file), 'utf8');
const sources = [ 'luci-app-netcombiner', 'luci-proto-netcombiner' ].flatMap(one => files(one + '/htdocs', '.js'));
const acl = JSON.parse(read('luci-app-netcombiner/root/usr/share/rpcd/acl.d/luci-app-netcombiner.json'))['luci-app-netcombiner'];

const declared = sources.flatMap(file => [ ...read(file).matchAll(/rpc\.declare\(\{\s*object: '([\w.-]+)',\s*method: '(\w+)'/g) ].map(found => found.slice(1).join(' ')));
const granted = kind => Object.entries(acl[kind].ubus).flatMap(([ object, methods ]) => methods.map(method => object + ' ' + method));

test('the pages ask for what the access list grants, and it grants nothing else of netcombiner', () => {
	const used = sources.map(read).join('').match(/rpc\.declare/g).length;
	assert.equal(declared.length, used, 'a declaration that this test cannot read');
	const all = [ ...granted('read'), ...granted('write') ];
	assert.deepEqual(declared.filter(one => !all.includes(one)), []);
	assert.deepEqual(all.filter(one => one.startsWith('netcombiner ')).sort(), [ ...new Set(declared) ].sort());
	assert.deepEqual(all.filter(one => one.includes('*')), []);
});

test('the template has the texts of the pages (else: node openwrt/test/luci/texts.mjs)', () => {
	assert.equal(readFileSync(template, 'utf8'), extract());
});

// blocks of a .po file: what is said, and what for.
const blocks = text => [ ...text.matchAll(/^msgid "(.+)"\n(?:msgid_plural "(.*)"\n)?((?:msgstr(?:\[\d\])? ".*"\n?)+)/gm) ]
	.map(([ , id, plural, said ]) => ({ id, plural, said: [ ...said.matchAll(/"(.*)"$/gm) ].map(found => found[1]) }));

const places = text => text.match(/%[sd%]|<[^>]+>/g) ?? [];

test('translations are whole, and keep what the texts are filled with', () => {
	assert.deepEqual(languages(), [ 'de' ]);
	for (const language of languages()) {
		const file = join(po, language, 'netcombiner.po');
		execFileSync('msgfmt', [ '-c', '-o', '/dev/null', file ], { stdio: 'pipe' });
		const said = blocks(readFileSync(file, 'utf8'));
		assert.deepEqual(said.map(block => block.id).sort(), blocks(readFileSync(template, 'utf8')).map(block => block.id).sort());
		for (const block of said)
			for (const one of block.said) {
				assert.ok(one, `${language}: ${block.id}`);
				assert.deepEqual(places(one), places(block.id), `${language}: ${block.id}`);
			}
		assert.doesNotMatch(readFileSync(file, 'utf8'), /^#.*fuzzy|^#~/m);
	}
});

test('no page needs more than LuCI: nothing is fetched from elsewhere, nothing is evaluated', () => {
	for (const file of sources)
		assert.doesNotMatch(read(file), /https?:\/\/(?!www\.w3\.org\/2000\/svg)|\beval\(|new Function|innerHTML|localStorage/, file);
});
