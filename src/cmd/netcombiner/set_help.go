package main

// notKept is said of all that changes a tunnel that runs, but not its file.
const notKept = `
The change lasts until the tunnel stops or "netcombiner reload IFACE" takes the
file's word again: to keep it, write it into the file too.
`

const setHelp = `Changes a path or the interface at once; what the tunnel carries goes on. The
remote portal follows by itself. Several KEY VALUE are one change.

  path NAME KEY VALUE     Metric, Rate, Congestion, Direction, Quota, QuotaReset,
                          Bind, Remote: as in the file. The value "default" is
                          as if the line were not there. With Bind or Remote the
                          old way goes on until the new one works.
  path NAME down | up     take a path out of use, and into use again
  Scheduler VALUE         of this portal's own direction
  Fallback direct | none  where traffic goes while every path has failed
` + notKept + `
Example: netcombiner set nc0 path lte metric 1
`

const addHelp = `KEY and VALUE are those of a [Path] in the file; Remote must be there.

  bypass PREFIX via WAN   what goes to these addresses leaves by this link, and not
                          through the tunnel; WAN is an interface, or a path's name.
                          "ifdown block" after it: nor while the link is down.
` + notKept + `
Example: netcombiner add nc0 path dsl2 bind eth2 remote vps.example.org:4725
Example: netcombiner add nc0 bypass 203.0.113.0/24 via dsl
`

const removeHelp = `What the path has under way goes on the others. The last one in use stays, and
one that a bypass goes by.
` + notKept + `
Example: netcombiner remove nc0 path dsl2
Example: netcombiner remove nc0 bypass 203.0.113.0/24
`

const reloadHelp = `Applies the changed file: paths and bypasses or listeners, Scheduler and Fallback.
What stays as it is notices nothing, and what only a restart can change is said. A
file with an error changes nothing.

Example: netcombiner reload nc0
`
