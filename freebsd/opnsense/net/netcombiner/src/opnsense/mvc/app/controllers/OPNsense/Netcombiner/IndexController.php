<?php

namespace OPNsense\Netcombiner;

class IndexController extends StatusController
{
}
