module netcombiner/packaging/openwrt

go 1.26.0
