module netcombiner/packaging/freebsd

go 1.26.0

replace netcombiner => ../..

require netcombiner v0.0.0-00010101000000-000000000000

require github.com/klauspost/compress v1.20.1
