// All texts of the pages, the menu and the access list, as a template for translations.
// Run by itself it writes the template, and puts what is new into every translation.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const openwrt = fileURLToPath(new URL('../..', import.meta.url));
export const po = join(openwrt, 'luci-app-netcombiner/po');
export const template = join(po, 'templates/netcombiner.pot');
const packages = [ 'luci-app-netcombiner', 'luci-proto-netcombiner' ];

export const files = (folder, ending) => existsSync(join(openwrt, folder))
	? readdirSync(join(openwrt, folder), { recursive: true }).filter(file => file.endsWith(ending)).map(file => join(folder, file)).sort()
	: [];

const json = (folder) => files(folder, '.json').map(file => [ file, JSON.parse(readFileSync(join(openwrt, file), 'utf8')) ]);

// LuCI translates the titles of its menu, and what an access list says of itself.
function named() {
	const texts = [];
	for (const one of packages) {
		for (const [ file, menu ] of json(one + '/root/usr/share/luci/menu.d'))
			texts.push(...Object.values(menu).filter(entry => entry.title).map(entry => [ file, entry.title ]));
		for (const [ file, lists ] of json(one + '/root/usr/share/rpcd/acl.d'))
			texts.push(...Object.values(lists).filter(list => list.description).map(list => [ file, list.description ]));
	}
	return texts;
}

// extract makes the template. Lines are left out, for they change with every edit.
export function extract() {
	const sources = packages.flatMap(one => files(one + '/htdocs', '.js'));
	const out = execFileSync('xgettext', [ '--from-code=UTF-8', '--language=JavaScript', '--no-wrap', '--add-location=file', '--sort-by-file', '--omit-header',
		'--keyword=_:1', '--keyword=_:1,2c', '--keyword=N_:2,3', '--keyword=N_:2,3,4c', '-o', '-', ...sources ],
	{ cwd: openwrt, encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8' }, stdio: [ 'ignore', 'pipe', 'ignore' ] });
	const from = new Map(named().map(([ file, text ]) => [ text, file ]));
	const others = [ ...from ].filter(([ text ]) => !out.includes('msgid ' + JSON.stringify(text) + '\n'))
		.map(([ text, file ]) => `#: ${file}\nmsgid ${JSON.stringify(text)}\nmsgstr ""\n`);
	return 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\n' + out.replace(/^#, javascript-format\n/gm, '').trimEnd() + '\n\n' + others.join('\n');
}

export const languages = () => readdirSync(po).filter(name => name != 'templates');

if (process.argv[1] == fileURLToPath(import.meta.url)) {
	writeFileSync(template, extract());
	for (const language of languages().filter(name => existsSync(join(po, name, 'netcombiner.po'))))
		execFileSync('msgmerge', [ '--quiet', '--update', '--backup=none', '--no-fuzzy-matching', '--no-wrap', '--add-location=file', join(po, language, 'netcombiner.po'), template ], { stdio: 'inherit' });
}
