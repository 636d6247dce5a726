<?php

namespace OPNsense\Netcombiner;

use OPNsense\Base\IndexController;

class StatusController extends IndexController
{
    public function indexAction()
    {
        $this->view->pick('OPNsense/Netcombiner/status');
    }
}
