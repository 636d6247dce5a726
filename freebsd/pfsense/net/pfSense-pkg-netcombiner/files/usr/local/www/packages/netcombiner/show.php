<?php
/* What the tunnels do, as JSON, for the page of the status. Nothing here is a secret, and nothing
   changes anything. */

##|+PRIV
##|*IDENT=page-status-netcombiner
##|*NAME=Status: netcombiner
##|*DESCR=Allow access to the 'Status: netcombiner' page, which shows no key and changes nothing.
##|*MATCH=packages/netcombiner/show.php*
##|-PRIV

require_once('guiconfig.inc');
require_once('netcombiner/netcombiner.inc');

header('Content-Type: application/json');
echo json_encode(netcombiner_status(), JSON_HEX_TAG | JSON_HEX_AMP | JSON_INVALID_UTF8_SUBSTITUTE);
