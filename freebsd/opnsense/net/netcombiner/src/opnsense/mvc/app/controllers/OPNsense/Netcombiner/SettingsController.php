<?php

namespace OPNsense\Netcombiner;

use OPNsense\Base\IndexController;

class SettingsController extends IndexController
{
    public function indexAction()
    {
        $this->view->generalForm = $this->getForm('general');
        $this->view->tokenForm = $this->getForm('dialogToken');
        $this->view->wansForm = $this->getForm('dialogWans');
        foreach (['Tunnel', 'Path', 'Listen'] as $kind) {
            $this->view->{'form' . $kind} = $this->getForm('dialog' . $kind);
            $this->view->{'grid' . $kind} = $this->getFormGrid('dialog' . $kind);
        }
        $this->view->pick('OPNsense/Netcombiner/settings');
    }
}
