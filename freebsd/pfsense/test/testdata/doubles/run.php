<?php
/* Runs what the test has written on standard input, with the package loaded, and prints what it
   returns as JSON. */

require_once('netcombiner/netcombiner.inc');
echo json_encode(eval(stream_get_contents(STDIN)), JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
