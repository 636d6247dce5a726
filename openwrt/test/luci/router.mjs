// A router as LuCI's pages see it: what ubus answers, from recorded answers of the real
// daemon and a configuration that can be changed.
import { readFileSync } from 'node:fs';

const recorded = JSON.parse(readFileSync(new URL('recorded.json', import.meta.url), 'utf8'));

export const KEY = 'QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=';
export const TOKEN = 'nc1.AAEAaSK3qgABUYBBQkNERUZHSElKS0xNTk9Q';

export const frames = recorded.local;
export const remote = recorded.remote;

const section = (type, name, values) => ({ '.type': type, '.name': name, '.anonymous': name.startsWith('cfg'), ...values });

// configuration is what UCI holds: of one local tunnel with two of its four paths.
export function configuration() {
	const path = (id, name, more) => section('path', id, { tunnel: 'nc0', enabled: '1', name, remote: 'vps.example.org:4725', ...more });
	return {
		netcombiner: {
			globals: section('globals', 'globals', { enabled: '1' }),
			nc0: section('tunnel', 'nc0', { enabled: '1', role: 'local', key: KEY, address: [ '172.19.152.3/31' ] }),
			cfg01: path('cfg01', 'dsl', { interface: 'wan' }),
			cfg02: path('cfg02', 'lte', { interface: 'wwan', metric: '10', quota: '50GB' })
		},
		network: {
			lan: section('interface', 'lan', { proto: 'static', device: 'br-lan' }),
			wan: section('interface', 'wan', { proto: 'dhcp', device: 'eth1' }),
			wwan: section('interface', 'wwan', { proto: 'dhcp', device: 'wwan0' })
		},
		firewall: {
			cfg10: section('zone', 'cfg10', { name: 'lan', network: [ 'lan' ] }),
			cfg11: section('zone', 'cfg11', { name: 'wan', network: [ 'wan', 'wwan' ], masq: '1' })
		}
	};
}

// The daemon's words for the few values that the tests type.
const wrong = {
	rate: v => /^\d+[kmg]?bit(\/\d+[kmg]?bit)?$/.test(v) || 'not a rate; allowed: down/up or one for both, 8kbit to 1000gbit each, as in 40mbit/10mbit',
	metric: v => /^\d{1,5}$/.test(v) || 'not a metric; allowed: 0 to 65535',
	address: v => /^[0-9a-f.:]+\/\d+$/.test(v) || v + ' is not an interface address; allowed: 172.19.152.3/31, fd19:152::3/127',
	remote: (v, beside) => beside.transport != 'ip' && !/:\d+$/.test(v) ? 'not a host and port; allowed: vps.example.org:4725, 192.0.2.7:4725, [2001:db8::7]:4725' : true
};

export class Router {
	constructor() {
		this.config = configuration();
		this.calls = [];
		this.keys = {}; // by file
		this.frame = 0;
		this.status = null; // instead of the recorded one
		this.problems = {};
		this.refuses = []; // lines on a tunnel as a whole
		this.refuse = null; // a message for what would change something
		this.wans = [
			{ interface: 'wan', device: 'eth1', up: true, metric: 10, addresses: [ '192.0.2.7' ] },
			{ interface: 'wwan', device: 'wwan0', up: true, metric: 20, addresses: [ '100.64.3.9' ] },
			{ interface: 'wan6', device: '', up: false, metric: 0, addresses: [] }
		];
		this.lines = [
			'Mon Nov 23 14:25:27 2026 daemon.info netcombiner[4242]: nc0: level=INFO msg=running interface=nc0 version=1.0.0',
			'Mon Nov 23 14:25:27 2026 daemon.info netcombiner[4242]: nc0: level=INFO msg="path up" path=dsl remote=10.10.0.1:4725 after=13ms',
			'Mon Nov 23 14:25:47 2026 daemon.err netcombiner[4242]: nc0: level=WARN msg="path failed" path=fibre remote=10.10.0.1:4725 up_for=19.6s why="no answer for 754ms"'
		];
	}

	call(object, method, params) {
		this.calls.push([ object, method, params ]);
		const answer = this[object + '_' + method];
		return answer ? answer.call(this, params) : null;
	}

	count(method) {
		return this.calls.filter(call => call[1] == method).length;
	}

	netcombiner_status() {
		const now = frames[Math.min(this.frame++, frames.length - 1)];
		return { tunnels: this.status || { nc0: now }, problems: this.problems };
	}

	netcombiner_check({ tunnel, key, value, with: beside }) {
		if (tunnel)
			return { ok: !this.refuses.length, message: this.refuses[0], problems: this.refuses };
		const verdict = wrong[key] ? wrong[key](value, beside || {}) : true;
		return verdict === true ? { ok: true } : { ok: false, message: verdict };
	}

	netcombiner_wans() {
		return { wans: this.wans };
	}

	netcombiner_log() {
		return { lines: this.lines };
	}

	netcombiner_genkey() {
		return { ok: true, key: 'bmV3IGtleSBuZXcga2V5IG5ldyBrZXkgbmV3IGtleSE=' };
	}

	// keep puts a key where the configuration can name it.
	keep(tunnel, key) {
		const file = `/etc/netcombiner/keys/${tunnel}.${Object.keys(this.keys).length}`;
		this.keys[file] = key;
		return file;
	}

	netcombiner_key({ tunnel, key }) {
		return this.refuse ? { ok: false, message: this.refuse } : { ok: true, key_file: this.keep(tunnel, key) };
	}

	netcombiner_token({ tunnel, token }) {
		if (token != TOKEN)
			return { ok: false, message: 'the token is mangled: copied whole?' };
		return {
			ok: true,
			tunnel: { key_file: this.keep(tunnel, KEY), suite: 'auto', routing: 'nat', address: [ '172.19.152.5/31', 'fd19:152::5/127' ] },
			paths: [ { transport: 'udp', remote: '198.51.100.9:4725' }, { transport: 'tcp', remote: '198.51.100.9:443' } ],
			expires: '2026-11-24'
		};
	}

	netcombiner_action() {
		return this.refuse ? { ok: false, message: this.refuse } : { ok: true };
	}

	netcombiner_path() {
		return this.refuse ? { ok: false, message: this.refuse } : { ok: true };
	}
}
