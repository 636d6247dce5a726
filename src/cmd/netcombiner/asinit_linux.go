package main

// asInit is for FreeBSD; here a container's init may be "netcombiner selftest".
func asInit() {}
