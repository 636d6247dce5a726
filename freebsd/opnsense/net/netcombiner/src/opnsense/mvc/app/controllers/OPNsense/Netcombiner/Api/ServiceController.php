<?php

namespace OPNsense\Netcombiner\Api;

use OPNsense\Base\ApiMutableServiceControllerBase;
use OPNsense\Core\Backend;

class ServiceController extends ApiMutableServiceControllerBase
{
    protected static $internalServiceClass = '\OPNsense\Netcombiner\Netcombiner';
    protected static $internalServiceEnabled = 'general.enabled';
    protected static $internalServiceTemplate = 'OPNsense/Netcombiner';
    protected static $internalServiceName = 'netcombiner';

    /**
     * Applies config.xml. What is wrong with it is told in the daemon's own words, and
     * what runs stays as it is.
     * @return array status, and status_msg if it is not ok
     */
    public function reconfigureAction()
    {
        if (!$this->request->isPost()) {
            return ['status' => 'failed'];
        }
        $backend = new Backend();
        $this->runInterfaceRegistration();
        /* Its rules call the daemon's anchors, which it looks for as it starts. */
        $backend->configdRun('filter reload skip_alias');
        $said = trim($backend->configdRun('netcombiner reconfigure') ?? '');
        if ($said !== 'OK') {
            /* The page shows it as HTML. */
            return ['status' => 'failed', 'status_msg' => nl2br(htmlspecialchars($said ?: gettext('configd does not answer')))];
        }
        return ['status' => 'ok'];
    }
}
