// The rules that LuCI holds its pages to, for ours, and the usual ones for what tests them.
import js from '@eslint/js';
import globals from 'globals';

const readonly = names => Object.fromEntries(names.map(name => [ name, 'readonly' ]));

// What a page has without declaring it: LuCI's own functions, and those of LuCI's modules that
// it requires.
const luci = readonly([
	'_', 'N_', 'L', 'E',
	'baseclass', 'dom', 'firewall', 'form', 'fs', 'network', 'poll', 'rpc', 'uci', 'ui', 'validation', 'view', 'widgets'
]);

export default [
	{
		files: [ 'luci-*/htdocs/**/*.js' ],
		...js.configs.recommended,
		languageOptions: {
			sourceType: 'script',
			ecmaVersion: 2020,
			globals: { ...globals.browser, ...luci },
			parserOptions: { ecmaFeatures: { globalReturn: true } } // a module of LuCI returns its class
		},
		rules: { ...js.configs.recommended.rules, 'no-undef': 'error', 'no-unused-vars': [ 'error', { args: 'none' } ] }
	},
	{
		files: [ 'test/luci/*.mjs', 'freebsd/opnsense/test/*.mjs', 'freebsd/pfsense/test/*.mjs' ],
		...js.configs.recommended,
		languageOptions: { globals: { ...globals.node, ...globals.browser, ...readonly([ 'luci', 'load', 'shown' ]) } }
	},
	{
		files: [ 'test/luci/stub/*.js' ],
		...js.configs.recommended,
		languageOptions: { sourceType: 'script', globals: { ...globals.browser, ...readonly([ 'luci', 'load', 'asked', 'L', 'E' ]) } }
	}
];
