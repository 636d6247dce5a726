<?php

namespace OPNsense\Netcombiner\Api;

use OPNsense\Base\ApiControllerBase;
use OPNsense\Core\Backend;
use OPNsense\Netcombiner\Netcombiner;

/**
 * What the tunnels do. Nothing here is a secret, and nothing changes anything: it is what
 * the read-only privilege gives.
 */
class StatusController extends ApiControllerBase
{
    /**
     * @return array tunnels: what the daemon says of each that runs; problems: by device, why
     * one does not run; names: what the tunnels are called here
     */
    public function showAction()
    {
        $backend = new Backend();
        $tunnels = json_decode($backend->configdRun('netcombiner show') ?? '', true);
        $problems = [];
        foreach (explode("\n", $backend->configdRun('netcombiner problems') ?? '') as $line) {
            if (preg_match('/^(nc[0-9]+): (.*)$/', $line, $found)) {
                $problems[$found[1]] = $found[2];
            }
        }
        $names = [];
        foreach ((new Netcombiner())->tunnels->tunnel->iterateItems() as $tunnel) {
            $names['nc' . (string)$tunnel->instance] = (string)$tunnel->name;
        }
        return [
            'tunnels' => is_array($tunnels) ? $tunnels : [],
            'problems' => (object)$problems,
            'names' => (object)$names,
        ];
    }
}
