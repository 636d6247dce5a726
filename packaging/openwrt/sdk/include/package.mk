# Packages: include this, define Package/NAME and what belongs to it, and
# $(eval $(call BuildPackage,NAME)).

PKG_BUILD_DIR ?= $(BUILD_DIR)/$(PKG_NAME)

.PHONY: pack
pack:

$(shell rm -rf $(BUILD_DIR) && mkdir -p $(PKG_BUILD_DIR))

define Build/Compile
endef

# What a package does not say is said by the Makefile or by no one. The first
# two are the menu's.
define defaults
  CATEGORY :=
  SUBMENU :=
  SECTION :=
  TITLE :=
  DEPENDS :=
  URL := $(PKG_URL)
  LICENSE := $(PKG_LICENSE)
  MAINTAINER := $(PKG_MAINTAINER)
  VERSION := $(PKG_VERSION)-r$(PKG_RELEASE)
  PKGARCH := $(if $(filter all,$(ARCH)),none,$(ARCH))
  PROVIDES :=
  CONFLICTS :=
  EXTRA_DEPENDS :=
  USERID :=
  ALTERNATIVES :=
endef

# What OpenWrt's build would read is in names that begin so. Those that are known
# are done here, or not needed here: what is built is the repository, as it is.
its    = PKG_% GO_PKG_% LUCI_% Package/% Build/%
known  = PKG_NAME PKG_VERSION PKG_RELEASE PKG_LICENSE PKG_LICENSE_FILES PKG_MAINTAINER PKG_URL PKG_BUILD_DIR \
	PKG_FILE_DEPENDS PKG_BUILD_DEPENDS PKG_BUILD_PARALLEL PKG_BUILD_FLAGS Build/Prepare Build/Compile \
	GO_PKG GO_PKG_BUILD_PKG GO_PKG_BUILD_BIN_DIR GO_PKG_INSTALL_BIN_PATH GO_PKG_INSTALL_EXTRA \
	GO_PKG_LDFLAGS GO_PKG_LDFLAGS_X GO_PKG_TAGS \
	LUCI_NAME LUCI_TYPE LUCI_BASENAME LUCI_TITLE LUCI_DESCRIPTION LUCI_DEPENDS LUCI_EXTRA_DEPENDS LUCI_URL \
	LUCI_MAINTAINER LUCI_PKGARCH LUCI_LANG.% \
	$(foreach part,description conffiles install preinst postinst prerm postrm,Package/%/$(part))
# whole are the packages themselves: Package/NAME.
whole  = $(foreach name,$(filter Package/%,$(.VARIABLES)),$(if $(findstring /,$(patsubst Package/%,%,$(name))),,$(name)))
# The environment may have a PKG_CONFIG_PATH.
said   = $(foreach name,$(filter $(its),$(.VARIABLES)),$(if $(filter file,$(origin $(name))),$(name)))
unknown = $(sort $(filter-out $(known) $(whole),$(said)))
# In a package's definition there are no other fields than those that have a default.
# make itself has a variable %D, which filter-out would take for a pattern.
fields_unknown = $(sort $(filter-out before $(before),$(.VARIABLES)))

# Of +foo, foo; @conditions are the menu's. What is not done here must not be lost.
unsupported = $(PROVIDES)$(CONFLICTS)$(EXTRA_DEPENDS)$(ALTERNATIVES)$(findstring :,$(DEPENDS))
depends     = $(patsubst +%,%,$(filter-out @%,$(DEPENDS)))

# say writes a field of package $(1) into a file of its own.
say = $(file >$(OUT)/$(1)/control/$(2),$(3))

define fields
  $(shell rm -rf $(OUT)/$(1) && mkdir -p $(OUT)/$(1)/control $(OUT)/$(1)/root)
  $(call say,$(1),version,$(VERSION))
  $(call say,$(1),arch,$(PKGARCH))
  $(call say,$(1),section,$(SECTION))
  $(call say,$(1),license,$(LICENSE))
  $(call say,$(1),url,$(URL))
  $(call say,$(1),maintainer,$(MAINTAINER))
  $(call say,$(1),depends,$(depends))
  $(call say,$(1),user,$(USERID))
  $(call say,$(1),description,$(or $(Package/$(1)/description),$(TITLE)))
  $(call say,$(1),conffiles,$(Package/$(1)/conffiles))
  $(foreach script,preinst postinst prerm postrm,$(if $(Package/$(1)/$(script)),$(call say,$(1),$(script),$(Package/$(1)/$(script)))))
endef

define recipe
pack: pack-$(1)
.PHONY: pack-$(1)
pack-$(1): compile
	$(call Package/$(1)/install,$(OUT)/$(1)/root)
endef

define BuildPackage
  $(if $(unknown),$(error $(1) says what packaging/openwrt/sdk does not know: $(unknown)))
  $(eval $(defaults))
  $(eval before := $(subst %,\%,$(.VARIABLES)))
  $(eval $(call Package/$(1)))
  $(if $(fields_unknown),$(error Package/$(1) says what packaging/openwrt/sdk does not know: $(fields_unknown)))
  $(if $(unsupported),$(error $(1) says what packaging/openwrt/sdk does not know: $(unsupported)))
  $(if $(filter $(ARCH),$(PKGARCH)),$(eval $(call fields,$(1)))$(eval $(call recipe,$(1))))
endef

.PHONY: compile
compile:
	$(call Build/Compile)
