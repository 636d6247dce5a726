# Pages of LuCI: htdocs goes to /www, root to /, and each language in po to a
# package of its own.

LUCI_NAME     ?= $(notdir $(CURDIR))
LUCI_TYPE     ?= $(word 2,$(subst -, ,$(LUCI_NAME)))
LUCI_BASENAME ?= $(patsubst luci-$(LUCI_TYPE)-%,%,$(LUCI_NAME))
PKG_NAME      ?= $(LUCI_NAME)

include $(INCLUDE_DIR)/package.mk

LUCI_LANG.de = Deutsch (German)
languages    = $(sort $(patsubst po/%/,%,$(dir $(wildcard po/*/*.po))))

define Package/$(PKG_NAME)
  SECTION := luci
  TITLE := $(LUCI_TITLE)
  DEPENDS := $(LUCI_DEPENDS)
  EXTRA_DEPENDS := $(LUCI_EXTRA_DEPENDS)
  URL := $(LUCI_URL)
  MAINTAINER := $(or $(LUCI_MAINTAINER),$(PKG_MAINTAINER))
  PKGARCH := all
endef

ifdef LUCI_DESCRIPTION
Package/$(PKG_NAME)/description = $(LUCI_DESCRIPTION)
endif

# LuCI keeps its menu in /tmp, and rpcd who may do what in memory.
ifndef Package/$(PKG_NAME)/postinst
define Package/$(PKG_NAME)/postinst
[ -n "$${IPKG_INSTROOT}" ] || {
	rm -rf /tmp/luci-indexcache* /tmp/luci-modulecache
	/etc/init.d/rpcd reload 2>/dev/null
	exit 0
}
endef
endif

define Package/$(PKG_NAME)/install
	$(if $(wildcard htdocs),$(INSTALL_DIR) $(1)/www && $(CP) htdocs/. $(1)/www/)
	$(if $(wildcard root),$(CP) root/. $(1)/)
	chmod -R u=rwX,go=rX $(1)
endef

# language defines the package of language $(1). The builder compiles the
# catalogues.
define language
  $(if $(LUCI_LANG.$(1)),,$(error sdk/feeds/luci/luci.mk does not know what LuCI calls the language $(1)))
  define Package/luci-i18n-$(LUCI_BASENAME)-$(1)
    SECTION := luci
    TITLE := $(PKG_NAME) - $(1) translation
    DEPENDS := $(PKG_NAME)
    URL := $(LUCI_URL)
    MAINTAINER := $(or $(LUCI_MAINTAINER),$(PKG_MAINTAINER))
    PKGARCH := all
  endef

  define Package/luci-i18n-$(LUCI_BASENAME)-$(1)/install
	$$(INSTALL_DIR) $$(1)/etc/uci-defaults $$(1)/usr/lib/lua/luci/i18n
	echo "uci set luci.languages.$(1)='$(LUCI_LANG.$(1))'; uci commit luci" \
		> $$(1)/etc/uci-defaults/luci-i18n-$(LUCI_BASENAME)-$(1)
	$$(foreach po,$$(wildcard po/$(1)/*.po),$$(INSTALL_DATA) $$(po) \
		$$(1)/usr/lib/lua/luci/i18n/$$(basename $$(notdir $$(po))).$(1).po &&) true
  endef
endef

$(foreach lang,$(languages),$(eval $(call language,$(lang))))
$(foreach pkg,$(PKG_NAME) $(patsubst %,luci-i18n-$(LUCI_BASENAME)-%,$(languages)),$(eval $(call BuildPackage,$(pkg))))
