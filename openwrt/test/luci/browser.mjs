// The pages in a headless Chromium, on stand-ins for LuCI and the router.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname } from 'node:path';
import { chromium } from 'playwright-core';
import { Router } from './router.mjs';

const roots = [ '../../luci-app-netcombiner/htdocs', '../../luci-proto-netcombiner/htdocs', 'stub' ];
const kinds = { '.js': 'text/javascript', '.css': 'text/css' };
const frame = `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>router</title><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body { margin: 0 } .cbi-section-create > * { margin: 3px } table { width: 100% } select { font-size: 16px }
/* As LuCI's theme lays a form's table out on a phone: two to a line. */
@media (max-width: 600px) {
	.cbi-section-table, .cbi-section-table tbody { display: block }
	.cbi-section-table tr { display: flex; flex-wrap: wrap }
	.cbi-section-table td { flex: 1 1 50%; box-sizing: border-box; overflow: hidden; overflow-wrap: break-word }
	.cbi-section-table th { display: none }
}
</style>
<script src="/luci.js"></script><script src="/form.js"></script></head><body><div id="view"></div></body></html>`;

async function answer(request, response) {
	const { pathname } = new URL(request.url, 'http://router');
	if (pathname == '/')
		return response.setHeader('content-type', 'text/html').end(frame);
	for (const root of roots) {
		try {
			const file = await readFile(new URL(root + pathname, import.meta.url));
			return response.setHeader('content-type', kinds[extname(pathname)] ?? 'text/plain').end(file);
		} catch {
			continue;
		}
	}
	response.writeHead(404).end();
}

let server, browser;

export async function start() {
	server = createServer(answer);
	await new Promise(ready => server.listen(0, '127.0.0.1', ready));
	browser = await chromium.launch({
		executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
		args: [ '--no-sandbox', '--disable-gpu' ],
		timeout: 30000
	});
}

export async function stop() {
	await browser?.close();
	await new Promise(closed => server.close(closed));
}

// open shows a view with the answers of a router, and returns both. What the page
// complains of is kept, for end to see.
export async function open(name, { router = new Router(), width = 1000, before } = {}) {
	const page = await browser.newPage({ viewport: { width, height: 800 } });
	page.setDefaultTimeout(5000);
	page.complaints = [];
	page.on('console', message => [ 'error', 'warning' ].includes(message.type()) && page.complaints.push(message.text()));
	page.on('pageerror', error => page.complaints.push(error.stack));
	await page.exposeFunction('ubus', (object, method, params) =>
		object == 'uci' ? structuredClone(router.config[params.config]) : router.call(object, method, params));
	await page.goto(`http://127.0.0.1:${server.address().port}/`);
	if (before)
		await page.evaluate(before);
	await page.evaluate(async name => (await load('view.' + name)).show?.(), name);
	return { page, router };
}

// poll has the page ask once more.
export const poll = page => page.evaluate(() => luci.poll.step());

export async function end(page) {
	assert.deepEqual(page.complaints, []);
	await page.close();
}

// texts of all nodes that a selector finds.
export const texts = (page, selector) => page.$$eval(selector, nodes => nodes.map(node => node.textContent));
