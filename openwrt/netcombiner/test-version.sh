#!/bin/sh
# Run by the packages feed in a container of the target: scripts have no version.

case "$PKG_NAME" in
netcombiner) netcombiner --version 2>&1 | grep -F "$PKG_VERSION" ;;
*)
	echo "no test for $PKG_NAME" >&2
	exit 1
	;;
esac
