'use strict';
'require baseclass';
'require rpc';

/* What a page asks of the router: the methods of /usr/share/rpcd/ucode/netcombiner.uc. An
   answer is always an object; what could not be done has ok: false and a message. */
return baseclass.extend({
	status: rpc.declare({ object: 'netcombiner', method: 'status', expect: { '': {} } }),
	check: rpc.declare({ object: 'netcombiner', method: 'check', params: [ 'section', 'key', 'value', 'with' ], expect: { '': {} } }),
	whole: rpc.declare({ object: 'netcombiner', method: 'check', params: [ 'tunnel' ], expect: { '': {} } }),
	wans: rpc.declare({ object: 'netcombiner', method: 'wans', expect: { wans: [] } }),
	log: rpc.declare({ object: 'netcombiner', method: 'log', params: [ 'lines' ], expect: { lines: [] } }),
	genkey: rpc.declare({ object: 'netcombiner', method: 'genkey', expect: { '': {} } }),
	key: rpc.declare({ object: 'netcombiner', method: 'key', params: [ 'tunnel', 'key' ], expect: { '': {} } }),
	token: rpc.declare({ object: 'netcombiner', method: 'token', params: [ 'tunnel', 'token' ], expect: { '': {} } }),
	action: rpc.declare({ object: 'netcombiner', method: 'action', params: [ 'tunnel', 'action' ], expect: { '': {} } }),
	path: rpc.declare({ object: 'netcombiner', method: 'path', params: [ 'tunnel', 'name', 'up' ], expect: { '': {} } })
});
