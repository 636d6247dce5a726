# Packages of programs in Go: GO_PKG_BUILD_PKG names them, GO_PKG_LDFLAGS and
# GO_PKG_LDFLAGS_X tell the linker.

GO_ARCH_DEPENDS         := @(aarch64||arm||mipsel||x86_64)
GO_PKG_BUILD_BIN_DIR    := $(PKG_BUILD_DIR)/bin
GO_PKG_INSTALL_BIN_PATH ?= /usr/bin

define GoPackage/Build/Configure
endef

# The flags that are ours: no cgo, as no C compiler for each processor is here.
define GoPackage/Build/Compile
	mkdir -p $(GO_PKG_BUILD_BIN_DIR)
	cd $(REPO) && CGO_ENABLED=0 GOOS=linux GOFLAGS= GOEXPERIMENT= go build -trimpath -buildvcs=false $(GO_FLAGS) \
		-ldflags "-s -w $(GO_PKG_LDFLAGS) $(patsubst %,-X %,$(GO_PKG_LDFLAGS_X))" \
		$(if $(GO_PKG_TAGS),-tags "$(GO_PKG_TAGS)") -o $(GO_PKG_BUILD_BIN_DIR)/ $(GO_PKG_BUILD_PKG)
endef

define Build/Compile
$(GoPackage/Build/Compile)
endef

define GoPackage/Package/Install/Bin
	$(INSTALL_DIR) $(1)$(GO_PKG_INSTALL_BIN_PATH)
	$(INSTALL_BIN) $(GO_PKG_BUILD_BIN_DIR)/* $(1)$(GO_PKG_INSTALL_BIN_PATH)/
endef

define GoBinPackage
  ifndef Package/$(1)/install
    Package/$(1)/install = $$(call GoPackage/Package/Install/Bin,$$(1))
  endif
endef
