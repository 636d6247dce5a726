<?php

namespace OPNsense\Netcombiner;

use OPNsense\Base\BaseModel;

/**
 * What config.xml holds of netcombiner. Each value is checked here as far as one can
 * without the others; what must fit together is checked by the daemon itself, before
 * a change is applied (scripts/netcombiner/control.sh).
 */
class Netcombiner extends BaseModel
{
}
