# What the Makefiles in openwrt/ include, and as much of OpenWrt's build system
# as they use: so that they are the one place that says what is in a package,
# for the feed as for "make ipk" and "make apk". The builder, feed.go, sets
#
#   TOPDIR  this folder             ARCH         as OpenWrt names it, or all
#   REPO    of the daemon           PKG_VERSION  and PKG_RELEASE, of git
#   OUT     where all goes          GO_FLAGS     of go build, for size
#
# and GOARCH and the like in the environment. For each package of that
# architecture it finds in OUT/NAME: root, the files, and control, what is said.

INCLUDE_DIR := $(TOPDIR)/include
BUILD_DIR   := $(OUT)/build
SHELL       := /bin/sh

INSTALL_DIR  = install -d -m0755
INSTALL_BIN  = install -m0755
INSTALL_DATA = install -m0644
INSTALL_CONF = install -m0600
CP           = cp -fpR
LN           = ln -sf
SED          = sed -i -e
FIND         = find
comma       := ,
empty       :=
space       := $(empty) $(empty)
