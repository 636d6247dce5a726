<?php
/* Runs before each page and script of a test: a request as it would come, in which whatever PHP
   complains of ends the page. */

error_reporting(E_ALL);
set_error_handler(function ($level, $words, $file, $line) {
	$theirs = getenv('PFSENSE') && strpos($file, getenv('PFSENSE')) === 0;
	if (error_reporting() & $level && !$theirs) { // not where an @ says that it may fail
		fwrite(STDERR, "PHP: {$words} at {$file}:{$line}\n");
		exit(250);
	}
	return true;
});

define('NETCOMBINER_ROOT', getenv('ROOT'));

$request = json_decode(getenv('REQUEST') ?: '{}', true);
$_GET = $request['get'] ?? [];
$_POST = $request['post'] ?? [];
$_REQUEST = $_GET + $_POST;
$_SERVER['REQUEST_METHOD'] = isset($request['post']) ? 'POST' : 'GET';
$_SERVER['REQUEST_URI'] = '/packages/netcombiner/page.php?' . http_build_query($_GET);

/* recorded is a line of ROOT/calls. */
function recorded(...$words) {
	file_put_contents(NETCOMBINER_ROOT . '/calls', implode(' ', $words) . "\n", FILE_APPEND);
}

/* told is what the test has put into ROOT/host.json: interfaces, gateways, CARP … */
function told($what, $otherwise = []) {
	$host = json_decode((string)@file_get_contents(NETCOMBINER_ROOT . '/host.json'), true);
	return $host[$what] ?? $otherwise;
}
