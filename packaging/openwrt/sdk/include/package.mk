# Packages: include this, define Package/NAME and what belongs to it, and
# $(eval $(call BuildPackage,NAME)).

PKG_BUILD_DIR ?= $(BUILD_DIR)/$(PKG_NAME)

.PHONY: pack
pack:

$(shell rm -rf $(BUILD_DIR) && mkdir -p $(PKG_BUILD_DIR))

define Build/Compile
endef

# What a package does not say is said by the Makefile or by no one.
define defaults
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
  $(eval $(defaults))
  $(eval $(call Package/$(1)))
  $(if $(unsupported),$(error $(1) says what packaging/openwrt/sdk does not know: $(unsupported)))
  $(if $(filter $(ARCH),$(PKGARCH)),$(eval $(call fields,$(1)))$(eval $(call recipe,$(1))))
endef

.PHONY: compile
compile:
	$(call Build/Compile)
